//! People who watch and vote while things change: other tabs, edits, clocks that are wrong.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::Key;

use super::{path_of, sign_in};
use crate::support::live::{Stream, Way};
use crate::support::{Browser, PASSWORD, TestApp};

/// A page that is not ours, with a frame for each path, `gap` pixels apart.
async fn blog(app: &TestApp, paths: &[String], gap: u32) -> (TestApp, tempfile::TempDir) {
    let frames = paths.iter().map(|path| {
        let address = &app.address;
        format!(
            "<iframe src=\"{address}{path}\" width=\"300\" height=\"250\" \
               style=\"margin-bottom: {gap}px\"></iframe>"
        )
    });
    let html = format!(
        "<!doctype html><title>blog</title>{}",
        frames.collect::<String>()
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), html).expect("a page");
    let root = folder.path().display().to_string();
    (TestApp::with(&[("web.root", &root)]).await, folder)
}

/// Waits until the results of the question are live, not polled.
async fn is_live(browser: &Browser) {
    let live = "return Boolean(document.querySelector('.how.live'))";
    browser.until("live results", live).await;
}

/// Has the page believe that it stays visible, as in a window beside the others.
const STAY_VISIBLE: &str = "addEventListener('visibilitychange', \
    (event) => event.stopImmediatePropagation(), { capture: true });";

#[tokio::test(flavor = "multi_thread")]
async fn eight_tabs_over_http_1_stay_usable() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &voter).await;
    browser.go(&path_of(&question)).await;
    browser.run(STAY_VISIBLE).await;
    is_live(&browser).await;
    let first = browser.open_tab().await;
    for number in 2..=8 {
        browser.go(&path_of(&question)).await;
        browser.run(STAY_VISIBLE).await;
        is_live(&browser).await;
        if number < 8 {
            browser.open_tab().await;
        }
    }
    author.vote(&question, &[1]).await.expect(201);
    browser.sees_votes("java", "1").await;
    let last = browser.switch_to(&first).await;
    browser.sees_votes("java", "1").await;
    browser.press("python").await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    // The account's other tabs show the vote, too.
    browser.switch_to(&last).await;
    browser.sees_votes("python", "1").await;
    browser.sees("Change my vote").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_frames_over_http_1_stay_usable() {
    let (app, author) = TestApp::with_user("lucy").await;
    let mut questions = Vec::new();
    for _ in 0..8 {
        questions.push(author.ask(&["python", "java"], json!({})).await);
    }
    let paths = questions.iter().map(|it| format!("/embed/{}", it.id));
    let (blog, _folder) = blog(&app, &paths.collect::<Vec<_>>(), 0).await;
    let mut browser = browser!(blog.address);
    browser.also(&app.address);
    browser.resize(1300, 700, false).await;
    browser.open_page("/").await;
    for (index, question) in questions.iter().enumerate() {
        browser.enter_frame(index).await;
        browser.sees_votes("java", "0").await;
        author.vote(question, &[1]).await.expect(201);
        browser.sees_votes("java", "1").await;
        browser.leave_frame().await;
    }
    browser.screenshot("frames").await;
    // The connections are free for other requests.
    let fetched = format!(
        "return Promise.race([fetch('{}{}').then((answer) => answer.status), \
           new Promise((late) => setTimeout(late, 10_000, 'late'))])",
        app.address, "/api/v1/questions"
    );
    assert_eq!(browser.run(&fetched).await, json!(200));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_out_of_view_holds_no_stream() {
    let app = TestApp::with(&[("live.max_streams_per_address", "2")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let paths = vec![format!("/embed/{}", question.id); 4];
    let (blog, _folder) = blog(&app, &paths, 4000).await;
    let mut browser = browser!(blog.address);
    browser.also(&app.address);
    browser.resize(400, 700, false).await;
    browser.open_page("/").await;
    for index in 0..4 {
        browser.enter_frame(index).await;
        browser.sees_votes("java", "0").await;
        browser.leave_frame().await;
    }
    // Of the two streams that there may be, the frame in view has one.
    let mut stream = Stream::open(Way::Events, &app.address, &question, None, None).await;
    assert_eq!(stream.event().await.ballots(), 0);
    author.vote(&question, &[1]).await.expect(201);
    browser.enter_frame(0).await;
    browser.sees_votes("java", "1").await;
    browser.leave_frame().await;
    // A frame that comes into view is brought up to date.
    browser
        .run("document.querySelectorAll('iframe')[3].scrollIntoView()")
        .await;
    browser.enter_frame(3).await;
    browser.sees_votes("java", "1").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_page_holds_no_stream_and_is_brought_up_to_date_when_it_is_seen() {
    let app = TestApp::with(&[("live.max_streams_per_address", "1")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    is_live(&browser).await;
    let first = browser.open_tab().await;
    browser.go(&path_of(&question)).await;
    is_live(&browser).await;
    author.vote(&question, &[1]).await.expect(201);
    let added = json!({"choice_text": "go"});
    let choices = question.under("choices");
    author.post(&choices, added).await.expect(201);
    browser.switch_to(&first).await;
    browser.sees_votes("java", "1").await;
    browser.sees_votes("go", "0").await;
    author.vote(&question, &[0]).await.expect(200);
    browser.sees_votes("python", "1").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_question_are_followed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java", "go"], json!({})).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    is_live(&browser).await;
    browser.press("python").await;
    browser.sees("Not counted yet.").await;
    let chosen = async || {
        browser
            .run(
                "return [...document.querySelectorAll('.bar:has(:checked) .text')] \
                   .map((text) => text.innerText)",
            )
            .await
    };
    let shown = |texts: &[&str]| {
        let wanted = json!(texts).to_string();
        let script = format!(
            "return JSON.stringify([...document.querySelectorAll('.bar .text')] \
               .map((text) => text.innerText)) === JSON.stringify({wanted})"
        );
        let browser = &browser;
        async move { browser.until(&wanted, &script).await }
    };
    let choices = question.under("choices");
    author
        .post(&choices, json!({"choice_text": "zig", "position": 0}))
        .await
        .expect(201);
    shown(&["zig", "python", "java", "go"]).await;
    assert_eq!(chosen().await, json!(["python"]));
    let focus = "return document.activeElement.closest('.bar')?.innerText.startsWith('python')";
    assert_eq!(browser.run(focus).await, json!(true), "the focus stays");
    let choice = |index: usize| format!("{choices}/{}", question.choices[index]);
    author
        .patch(&choice(1), json!({"choice_text": "kotlin"}))
        .await
        .expect(200);
    shown(&["zig", "python", "kotlin", "go"]).await;
    author
        .patch(&choice(2), json!({"position": 0}))
        .await
        .expect(200);
    shown(&["go", "zig", "python", "kotlin"]).await;
    assert_eq!(chosen().await, json!(["python"]));
    author.delete(&choice(0)).await.expect(204);
    shown(&["go", "zig", "kotlin"]).await;
    browser
        .sees("A choice that you had selected has been removed.")
        .await;
    assert_eq!(chosen().await, json!([]));
    let edit = json!({"question_text": "Which of these?", "description": "All are good."});
    author.patch(&question.path, edit).await.expect(200);
    browser.arrives_at("Which of these?").await;
    let title = "return document.title === 'Which of these? · polls'";
    browser.until("title", title).await;
    browser.sees("All are good.").await;
    for (verb, seen) in [
        ("close", "Final"),
        ("reopen", "Sign in to vote"),
        ("close", "Final"),
    ] {
        let path = question.under(verb);
        author.post(&path, json!({})).await.expect(200);
        browser.sees(seen).await;
    }
    author.delete(&question.path).await.expect(204);
    browser.arrives_at("Page not found").await;
    browser.close().await;
}

/// Shifts the clock of the pages that are opened from now on.
async fn shift_clock(browser: &Browser, seconds: i64) {
    let source = format!(
        "const Real = Date, shift = {seconds} * 1000; \
         Date = class extends Real {{ \
           constructor(...given) {{ given.length ? super(...given) : super(Real.now() + shift); }} \
           static now() {{ return Real.now() + shift; }} }};"
    );
    let script = json!({"source": source});
    browser
        .tell("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voting_opens_and_closes_by_the_clock_of_the_server() {
    for seconds in [3, 7200, -7200] {
        let (app, author) = TestApp::with_user("lucy").await;
        let browser = browser!(app.address);
        shift_clock(&browser, seconds).await;
        let at = |seconds: u64| app.clock.now().after(Duration::from_secs(seconds));
        let times = json!({
            "opens_at": at(3), "closes_at": at(9), "results_visibility": "after_close",
        });
        let question = author.ask(&["python", "java"], times).await;
        browser.go(&path_of(&question)).await;
        browser.sees("Voting opens").await;
        browser.sees("Sign in to vote").await;
        browser.sees("Final").await;
        let later = json!({"closes_at": at(2 * 3600 + 60)});
        let question = author.ask(&["python", "java"], later).await;
        browser.go(&path_of(&question)).await;
        browser.sees("closes in 2 hours").await;
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_times_tick_and_have_the_exact_one_beside_them() {
    let (app, author) = TestApp::with_user("lucy").await;
    let closes_at = app.clock.now().after(Duration::from_secs(15));
    let times = json!({"closes_at": closes_at});
    let question = author.ask(&["python", "java"], times).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    let time = "document.querySelector('.meta time')";
    let exact = browser
        .run(&format!("return [{time}.dateTime, {time}.title]"))
        .await;
    assert_eq!(exact[0], json!(closes_at));
    let title = exact[1].as_str().expect("a title");
    assert!(
        title.contains("UTC") || title.contains("GMT"),
        "{title} has no zone"
    );
    for seconds in ["9", "7"] {
        browser.sees(&format!("closes in {seconds} seconds")).await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_kept_until_it_is_sent() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    // Who is not registered yet is led back to the question.
    browser.go(&path_of(&question)).await;
    browser.press("python").await;
    browser.sees("Not counted yet. Sign in or sign up").await;
    browser.press("Sign up").await;
    browser.write("Name", "Ada").await;
    browser.write("Email", "ada@example.org").await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign up").await;
    browser.sees("Not counted yet. Press “Vote”").await;
    browser.press("Vote").await;
    browser.sees_votes("python", "1").await;
    browser.press("Sign out").await;

    sign_in(&browser, &voter).await;
    browser.go(&path_of(&question)).await;
    browser.press("java").await;
    let selected =
        "return document.querySelector('.bar:has(:checked) .text')?.innerText === 'java'";
    // Somebody signs out and in again in another tab.
    let first = browser.open_tab().await;
    browser.go("/questions").await;
    browser.press("Sign out").await;
    let other = browser.switch_to(&first).await;
    browser.sees("Not counted yet. Sign in or sign up").await;
    browser.until("selected choice", selected).await;
    browser.switch_to(&other).await;
    sign_in(&browser, &voter).await;
    browser.switch_to(&first).await;
    browser.sees("Not counted yet. Press “Vote”").await;
    browser.until("selected choice", selected).await;
    browser.reload().await;
    browser.until("selected choice", selected).await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees_no("Not counted yet.").await;
    browser.sees("Change my vote").await;
    // The same vote again is no change.
    browser.press("Change my vote").await;
    browser.sees("You have already voted like this.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_without_a_ballot_causes_no_errors() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.failed_requests().await;
    // An id may be written in capitals.
    let path = format!("/questions/{}", question.id.to_uppercase());
    browser.go(&path).await;
    browser.arrives_at("Which one?").await;
    is_live(&browser).await;
    browser.press("java").await;
    browser.press("Vote").await;
    browser.sees_votes("java", "1").await;
    assert_eq!(browser.failed_requests().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_button_of_a_long_list_stays_in_view_and_has_its_mistakes_beside_it() {
    let (app, author) = TestApp::with_user("lucy").await;
    let texts: Vec<String> = (1..=60).map(|number| format!("choice {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let question = author.ask(&texts, json!({"max_choices": 5})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    let in_view = "const all = [...document.querySelectorAll('.voting .primary, .progress, .mistake')]; \
        return all.every((it) => it.getBoundingClientRect().bottom <= innerHeight)";
    browser.until("button in view", in_view).await;
    for number in 1..=6 {
        browser.press(&format!("choice {number}")).await;
    }
    browser.sees("6 of 5 chosen").await;
    let scroll = browser.run("return scrollY").await;
    browser.press("Vote").await;
    browser.sees("Choose up to 5.").await;
    browser.until("mistake in view", in_view).await;
    let focus = "return document.activeElement.matches('.voting .primary')";
    browser.until("focus on the button", focus).await;
    let moved = "return document.querySelector('.mistake').innerText === 'Choose up to 5.' \
        && Math.abs(scrollY - arguments[0]) < innerHeight";
    assert_eq!(browser.run_with(moved, vec![scroll]).await, json!(true));
    // A choice that the keyboard leads to is not beneath the button.
    browser.run("scrollTo(0, 0)").await;
    let hidden: Value = {
        browser
            .run("document.querySelector('[name=choice]').focus()")
            .await;
        for _ in 0..20 {
            browser.key(Key::Tab).await;
        }
        browser
            .run(
                "const bar = document.activeElement.closest('.bar').getBoundingClientRect(); \
                 return bar.bottom > document.querySelector('.foot').getBoundingClientRect().top",
            )
            .await
    };
    assert_eq!(hidden, json!(false));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_says_so() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    browser.press("java").await;
    browser
        .run(
            "const fetched = window.fetch; \
             const held = new Promise((allow) => window.letGo = allow); \
             window.fetch = async (...request) => { await held; return fetched(...request); };",
        )
        .await;
    browser.press("Vote").await;
    browser.sees("The server has not answered yet.").await;
    browser.run("letGo()").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees_no("The server has not answered yet.").await;
    browser.close().await;
}
