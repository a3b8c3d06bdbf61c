//! Voting methods: rankings and scores, from the editor to the rounds of the count.

use serde_json::json;
use thirtyfour::Key;

use super::{path_of, sign_in};
use crate::support::{Browser, Question, TestApp, User};

/// Casts a ranking.
async fn rank(voter: &User, question: &Question, ranking: &[usize]) {
    voter.vote(question, ranking).await.expect(201);
}

/// Waits until the ranking has these choices, best first.
async fn ranked(browser: &Browser, expected: &[&str]) {
    let expected = json!(expected);
    let script = format!(
        "return JSON.stringify([...document.querySelectorAll('.ranked .text')].map((it) => it.textContent)) === '{expected}'"
    );
    browser.until(&format!("ranking {expected}"), &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_from_the_editor_to_the_rounds() {
    let (app, author) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "Who is mayor?").await;
    for (number, name) in ["Wright", "Kiss", "Montroll"].iter().enumerate() {
        if number == 2 {
            browser.press("Add a choice").await;
        }
        browser.write(&format!("Choice {}", number + 1), name).await;
    }
    browser.choose("Voters choose", "Ranking").await;
    browser.sees("The weakest is eliminated").await;
    browser.press("Publish").await;
    browser.arrives_at("Who is mayor?").await;
    browser.sees("Rank as many as you like.").await;

    // By pressing, by the keyboard, and by dragging.
    browser.press("Montroll: rank as number 1").await;
    browser.press("Wright: rank as number 2").await;
    browser.press("Kiss: rank as number 3").await;
    ranked(&browser, &["Montroll", "Wright", "Kiss"]).await;
    browser.press("Rank Kiss higher").await;
    ranked(&browser, &["Montroll", "Kiss", "Wright"]).await;
    browser.key(Key::Up).await;
    ranked(&browser, &["Kiss", "Montroll", "Wright"]).await;
    let still =
        "return document.querySelector('.ranking').getAnimations({ subtree: true }).length === 0";
    browser.until("ranking that does not move", still).await;
    let place = "document.querySelector('.ranking').scrollIntoView({ block: 'center' }); \
        return [...document.querySelectorAll('.handle')].map((it) => { \
        const { x, y, width, height } = it.getBoundingClientRect(); \
        return [x + width / 2, y + height * 0.6]; })";
    let places = browser.run(place).await;
    let mouse = async |kind: &str, place: usize| {
        let parameters = json!({
            "type": kind, "x": places[place][0], "y": places[place][1],
            "button": "left", "buttons": 1, "clickCount": 1,
        });
        browser.tell("Input.dispatchMouseEvent", parameters).await;
    };
    mouse("mousePressed", 0).await;
    mouse("mouseMoved", 1).await;
    mouse("mouseReleased", 1).await;
    ranked(&browser, &["Montroll", "Kiss", "Wright"]).await;
    browser.press("Take Wright out of the ranking").await;
    ranked(&browser, &["Montroll", "Kiss"]).await;

    // What is not sent yet survives a reload.
    browser.reload().await;
    ranked(&browser, &["Montroll", "Kiss"]).await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees("your number 2").await;
    browser.sees_votes("Montroll", "1").await;

    let path = browser.run("return location.pathname.slice(1)").await;
    let path = path.as_str().expect("a path");
    let question = author.get(&format!("/{path}")).await.expect(200).json;
    let question = Question::of(&question);
    let mut voters = Vec::new();
    for number in 0..6 {
        voters.push(app.user(&format!("voter{number}")).await);
    }
    let [wright, kiss, montroll] = [0, 1, 2];
    for voter in &voters[..3] {
        rank(voter, &question, &[wright]).await;
    }
    for voter in &voters[3..5] {
        rank(voter, &question, &[kiss, montroll]).await;
    }
    browser.sees("Wright is ahead.").await;
    rank(&voters[5], &question, &[kiss, montroll]).await;
    browser.sees_votes("Kiss", "3").await;

    // Montroll's ballot goes to Kiss.
    browser.press("Close voting").await;
    browser.press_in_dialog("Close voting").await;
    browser
        .sees("Kiss is elected in round 2 with 4 votes against 3.")
        .await;
    browser.press("How it was counted").await;
    browser.sees("Round 2 of 2").await;
    browser.press("Back").await;
    browser.sees("Round 1 of 2").await;
    browser
        .sees("Montroll is eliminated with 1 vote. Transferred: 1 to Kiss.")
        .await;
    browser.press("Next").await;
    browser.sees("Round 2 of 2").await;
    browser.screenshot("ranking").await;
    browser.press("中文").await;
    browser.sees("“Kiss”在第 2 轮以 4 票对 3 票当选。").await;
    browser.press("计票过程").await;
    browser.press("上一轮").await;
    browser
        .sees("“Montroll”得 1 票，被淘汰。选票转移：1 票转给“Kiss”。")
        .await;
    browser.press("English").await;

    browser.go(&format!("/embed/{}", question.id)).await;
    browser.sees("Kiss is elected.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stars_are_given_by_radio_buttons() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(
            &["tea", "coffee", "water"],
            json!({"method": "star", "results_visibility": "always"}),
        )
        .await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    browser.sees("Give each choice 0 to 5.").await;
    let press = |choice: usize, score: usize| {
        format!(
            "document.querySelectorAll('.score')[{choice}].querySelectorAll('input')[{score}].click()"
        )
    };
    browser.run(&press(0, 4)).await;
    browser.run(&press(1, 0)).await;
    browser.run(&press(2, 1)).await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees("your score: 4").await;
    browser.sees_votes("tea", "4").await;
    browser.sees("tea is ahead.").await;
    let ballot = author.get(&question.under("ballot")).await.expect(200).json;
    assert_eq!(
        ballot["scores"],
        json!([
            {"choice_id": question.choices[0], "score": 4},
            {"choice_id": question.choices[2], "score": 1},
        ])
    );
    browser.press("How it is counted").await;
    browser.sees("Of the two with the highest sums").await;
    browser
        .sees("tea is ahead: preferred to water by 1 voter, the other way round by 0 voters.")
        .await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_editor_keeps_the_rules_of_every_method() {
    let (app, author) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    for rules in [
        json!({"method": "single_transferable_vote", "seats": 2}),
        json!({"method": "ranked_pairs", "max_choices": 2, "quorum": 3}),
        json!({"method": "borda", "tie_break": "lot"}),
        json!({"method": "score", "max_score": 10, "seats": 2}),
        json!({"method": "multiple_choice", "max_choices": 2, "min_choices": 0,
            "threshold": {"numerator": 3, "denominator": 5, "of": "ballots", "exceed": true}}),
    ] {
        let question = author.ask(&["a", "b", "c"], rules.clone()).await;
        let before = author.get(&question.under("")).await.expect(200).json;
        browser.go(&format!("{}/edit", path_of(&question))).await;
        browser.arrives_at("Edit question").await;
        browser.write("Description", "Only this is new.").await;
        browser.press("Save").await;
        browser.sees("Only this is new.").await;
        let after = author.get(&question.under("")).await.expect(200).json;
        for field in [
            "method",
            "seats",
            "min_choices",
            "max_choices",
            "max_score",
            "tie_break",
            "quorum",
            "threshold",
        ] {
            assert_eq!(before[field], after[field], "{field} of {rules}");
        }
        assert_eq!(after["revision"], json!(2), "{rules}");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_while_the_method_changes_gets_the_control_for_the_other_ballots() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["tea", "coffee"], json!({})).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser.press("tea").await;
    for (method, seen) in [
        ("borda", "Rank as many as you like."),
        ("score", "Give each choice 0 to 5."),
        ("multiple_choice", "Choose one."),
    ] {
        let changed = json!({"method": method, "max_choices": null});
        author.patch(&question.path, changed).await.expect(200);
        browser.sees("The question has been changed.").await;
        browser.sees(seen).await;
    }
    browser.close().await;
}
