//! What the page shows, and where: lists, sorted results, phones, writing directions, paper.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{path_of, sign_in};
use crate::support::{Browser, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn cards_say_how_many_choices_they_leave_out() {
    let (app, author) = TestApp::with_user("lucy").await;
    let many: Vec<String> = (1..=100).map(|number| format!("number {number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    author.ask(&many, json!({"question_text": "Many?"})).await;
    author
        .ask(&["a", "b", "c"], json!({"question_text": "Few?"}))
        .await;
    let browser = browser!(app.address);
    browser.go("/questions").await;
    browser.sees("97 more choices").await;
    let notes = "return [...document.querySelectorAll('.card')].map((card) => card.innerText.includes('more choice'))";
    assert_eq!(browser.run(notes).await, json!([false, true]));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_can_be_sorted_by_votes() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java", "go"], json!({})).await;
    author.vote(&question, &[2]).await.expect(201);
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    let order = |names: [&str; 3]| {
        let names = json!(names);
        format!(
            "return JSON.stringify([...document.querySelectorAll('.bar .text')].map((it) => it.firstChild.textContent)) === '{names}'"
        )
    };
    let asked = order(["python", "java", "go"]);
    browser.until("the author's order", &asked).await;
    browser.press("Sort by votes").await;
    let sorted = order(["go", "python", "java"]);
    browser.until("order by votes", &sorted).await;
    // The order follows the votes.
    for (name, choice) in [("nancy", 1), ("paul", 1)] {
        let voter = app.user(name).await;
        voter.vote(&question, &[choice]).await.expect(201);
    }
    let sorted = order(["java", "go", "python"]);
    browser.until("order by later votes", &sorted).await;
    browser.press("Sort by votes").await;
    browser.until("the author's order", &asked).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_whole_dates_and_the_names_of_filters() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    browser.resize(360, 740, true).await;
    sign_in(&browser, &user).await;
    let labels = "return [...document.querySelectorAll('.filters label')].map((it) => it.firstChild.textContent)";
    assert_eq!(
        browser.run(labels).await,
        json!(["Status", "Show", "Sort by"])
    );
    browser.go("/questions/new").await;
    browser.press("More options").await;
    // Date and time, with the button that opens the calendar.
    let widths = "return [...document.querySelectorAll('[type=datetime-local]')].every((it) => it.clientWidth >= 250)";
    browser.until("wide controls", widths).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_has_its_own_direction() {
    let (app, author) = TestApp::with_user("lucy").await;
    let arabic = json!({"question_text": "ما هي أفضل لغة؟", "description": "للخدمة القادمة"});
    let question = author.ask(&["بايثون", "java"], arabic).await;
    let browser = browser!(app.address);
    let direction = |selector: &str, expected: &str| {
        format!(
            "return getComputedStyle(document.querySelector('{selector}')).direction === '{expected}'"
        )
    };
    let check = async |path: &str, parts: &[(&str, &str)]| {
        browser.go(path).await;
        for (selector, expected) in parts {
            let what = format!("{selector} in {expected}");
            browser.until(&what, &direction(selector, expected)).await;
        }
    };
    let second = "li:nth-child(2) .text";
    let question_parts = [
        ("h1", "rtl"),
        (".description", "rtl"),
        (".bar .text", "rtl"),
        (second, "ltr"),
    ];
    check(&path_of(&question), &question_parts).await;
    check("/questions", &[(".card a", "rtl"), (second, "ltr")]).await;
    let embed = format!("/embed/{}", question.id);
    check(&embed, &[("h1", "rtl"), (second, "ltr")]).await;
    sign_in(&browser, &author).await;
    let edit = format!("{}/edit", path_of(&question));
    let edited = [
        ("[name=question_text]", "rtl"),
        ("textarea", "rtl"),
        ("[name=choice]", "rtl"),
    ];
    check(&edit, &edited).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paper_shows_the_results_and_nothing_to_press() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java", "go"], json!({})).await;
    author.vote(&question, &[2]).await.expect(201);
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    browser.print().await;
    browser.sees("Which one?").await;
    browser.sees("100%").await;
    let pressed = "return [...document.querySelectorAll('button, .button, nav a, .bar input')].filter((it) => it.checkVisibility()).length";
    assert_eq!(browser.run(pressed).await, json!(0));
    // Dark pages are printed in dark ink on white paper.
    let colours = "const { backgroundColor, color } = getComputedStyle(document.body); return [backgroundColor, color]";
    assert_eq!(
        browser.run(colours).await,
        json!(["rgb(255, 255, 255)", "rgb(29, 28, 26)"])
    );
    let printed = browser.tell("Page.printToPDF", json!({})).await;
    let pdf = printed["data"].as_str().expect("a document");
    let pdf = STANDARD.decode(pdf).expect("base64");
    let pages = pdf
        .windows(b"/Type /Page\n".len())
        .filter(|part| *part == b"/Type /Page\n");
    assert_eq!(pages.count(), 1);
    browser.close().await;
}
