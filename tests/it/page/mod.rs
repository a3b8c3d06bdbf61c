//! The web page, in a real Chromium.

use serde_json::json;

use crate::support::{Browser, PASSWORD, Question, TestApp, User};

/// A browser with the app's page; returns from the test if no browser is installed.
macro_rules! browser {
    ($address:expr) => {
        browser!($address, "en")
    };
    ($address:expr, $language:literal) => {
        match Browser::open(&$address, $language).await {
            Some(browser) => browser,
            None => return,
        }
    };
}

mod access;
mod docs;
mod electorate;
mod forms;
mod invitation;
mod looks;
mod methods;
mod parts;
mod recovery;
mod roll;
mod session;
mod watching;

/// Signs somebody in by the form.
async fn sign_in(browser: &Browser, user: &User) {
    browser.go("/login").await;
    browser.write("Email or phone", &user.email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.at("/questions").await;
    browser.settled().await;
}

fn path_of(question: &Question) -> String {
    format!("/questions/{}", question.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_by_clicking_and_typing() {
    let app = TestApp::start().await;
    let browser = browser!(app.address);
    browser.go("/").await;
    browser
        .arrives_at("Ask anything. See what people think.")
        .await;
    browser.sees("No questions here yet.").await;

    // Validation errors are shown next to all fields at once; the first field gets the focus.
    browser.press("Sign up").await;
    browser.arrives_at("Sign up").await;
    browser.write("Name", "Ada").await;
    browser.write("Email", "nonsense").await;
    browser.write("Password", "short").await;
    browser.press_button("Sign up").await;
    browser.sees("Enter a valid email address.").await;
    browser.sees("Use 8 to 128 characters.").await;
    let wrong = "const email = document.querySelector('[name=email]'); \
        return document.activeElement === email && email.getAttribute('aria-invalid') === 'true' && \
          document.getElementById(email.getAttribute('aria-describedby')).textContent.includes('email')";
    assert_eq!(browser.run(wrong).await, json!(true));
    browser.write("Email", "ada@example.org").await;
    browser.write("Phone", "16666666661").await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign up").await;
    browser.sees("Welcome, Ada.").await;
    browser.at("/questions").await;

    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "Which language?").await;
    browser.write("Choice 1", "rust").await;
    browser.write("Choice 2", "rust").await;
    browser.press("Publish").await;
    browser.sees("This is the same as choice 1.").await;
    browser.write("Choice 2", "go").await;
    browser.press("Add a choice").await;
    browser.write("Choice 3", "python").await;
    browser.press("Move choice 3 up").await;
    browser.press("Show in the public list").await;
    browser.press("Publish").await;
    browser.arrives_at("Which language?").await;
    browser.sees("0 voters").await;

    browser.press("rust").await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees_votes("rust", "1").await;
    browser.sees("1 voter").await;
    browser.press("go").await;
    browser.press("Change my vote").await;
    browser.sees_votes("go", "1").await;
    browser.sees_votes("rust", "0").await;
    browser.reload().await;
    browser.sees_votes("go", "1").await;
    browser.press("Withdraw my vote").await;
    browser.sees_votes("go", "0").await;
    browser.press("python").await;
    browser.press("Vote").await;
    browser.sees_votes("python", "1").await;
    browser.screenshot("question").await;

    // With ballots, some fields can no longer be changed.
    browser.press("Edit").await;
    browser.arrives_at("Edit question").await;
    browser.sees("People have already voted.").await;
    browser.write("Description", "For the next service.").await;
    browser.press("Add a choice").await;
    browser.write("Choice 4", "zig").await;
    browser.press("Save").await;
    browser.arrives_at("Which language?").await;
    browser.sees("For the next service.").await;
    browser.sees_votes("zig", "0").await;
    browser.sees_votes("python", "1").await;

    browser.press("Close voting").await;
    browser.sees("Nobody can vote until you reopen it").await;
    browser.press("Close voting").await;
    browser.sees("Final").await;
    browser.sees_no("Change my vote").await;
    browser.press("Reopen").await;
    browser.press_in_dialog("Reopen").await;
    browser.sees("Change my vote").await;

    browser.press("Share").await;
    browser
        .until(
            "link",
            "return document.querySelector('dialog [name=link]').value === location.href",
        )
        .await;
    browser.press("Close").await;

    browser.press("Delete").await;
    browser
        .press_in_dialog("Delete it together with its votes")
        .await;
    browser.press("Delete").await;
    browser.arrives_at("My questions").await;
    browser.sees("No questions found.").await;
    browser.choose("Show", "Deleted questions").await;
    browser.press("Which language?").await;
    browser.press("Restore").await;
    browser.sees("The question has been restored.").await;
    browser.back().await;
    browser.sees("No questions found.").await;

    browser.press("Account").await;
    browser.arrives_at("Ada").await;
    browser.write("Name", "Ada Lovelace").await;
    browser.press("Save").await;
    browser.arrives_at("Ada Lovelace").await;
    browser.write("Current password", "not this one").await;
    browser.write("New password", "another good one").await;
    browser.press("Change password").await;
    browser.sees("This is not your current password.").await;
    browser.write("Current password", PASSWORD).await;
    browser.press("Change password").await;
    browser.sees("You are signed out everywhere else.").await;
    browser.press("Sign out").await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", "16666666661").await;
    browser.write("Password", "wrong").await;
    browser.press_button("Sign in").await;
    browser.sees("Wrong email, phone number or password.").await;
    browser.write("Password", "another good one").await;
    browser.press_button("Sign in").await;

    browser.arrives_at("Ada Lovelace").await;
    browser.press("Delete account").await;
    browser.press_in_dialog("Delete account").await;
    browser.sees("This is not your current password.").await;
    browser.write("Current password", "another good one").await;
    browser.press_in_dialog("Delete account").await;
    browser.sees("Your account has been deleted.").await;
    browser.sees("by a deleted account").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_browsers_watch_while_a_third_party_votes() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java", "go"], json!({})).await;
    let (one, other) = (browser!(app.address), browser!(app.address));
    for browser in [&one, &other] {
        browser.go(&path_of(&question)).await;
        browser.sees_votes("java", "0").await;
        // By WebSockets, not by polling.
        let live = "return Boolean(document.querySelector('.how.live'))";
        browser.until("live stream", live).await;
    }
    author.vote(&question, &[1]).await.expect(201);
    for browser in [&one, &other] {
        browser.sees_votes("java", "1").await;
        browser.sees("1 voter").await;
    }
    let voter = app.user("nancy").await;
    voter.vote(&question, &[0]).await.expect(201);
    author.vote(&question, &[0]).await.expect(200);
    let close = format!("{}/close", question.path);
    for browser in [&one, &other] {
        browser.sees_votes("python", "2").await;
        browser.sees_votes("java", "0").await;
    }
    author.post(&close, json!(null)).await.expect(200);
    for browser in [one, other] {
        browser.sees("Final").await;
        browser.sees_no("Sign in to vote").await;
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_are_blocked_the_page_polls() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    let blocked = "WebSocket = class { \
        constructor() { setTimeout(() => this.onclose({ code: 1006, reason: '' })); } close() {} };";
    let script = json!({"source": blocked});
    browser
        .tell("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
    browser.go(&path_of(&question)).await;
    browser.sees("Updated every few seconds").await;
    author.vote(&question, &[1]).await.expect(201);
    browser.sees_votes("java", "1").await;
    browser.sees_no("cannot be reached").await;
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200);
    browser.sees("Final").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_results_appear_with_the_vote_and_go_with_it() {
    let (app, author) = TestApp::with_user("lucy").await;
    let hidden = json!({"results_visibility": "after_vote"});
    let question = author.ask(&["python", "java"], hidden).await;
    author.vote(&question, &[0]).await.expect(201);
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser.sees("shown once you have voted").await;
    browser.sees_votes("python", "").await;

    // A choice that was selected before signing in is still selected afterwards.
    browser.press("java").await;
    browser.press("Sign in to vote").await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", &voter.email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.arrives_at("Which one?").await;
    browser.sees_votes("python", "").await;
    browser.press("Vote").await;
    browser.sees_votes("python", "1").await;
    browser.sees_votes("java", "1").await;
    browser.press("Withdraw my vote").await;
    browser.sees("shown once you have voted").await;
    browser.sees_votes("python", "").await;
    browser.press("Vote").await;
    let told = "return document.querySelector('.foot .mistake')?.textContent === 'Choose one.'";
    browser.until("mistake", told).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_manage_users_and_questions() {
    let (app, author) = TestApp::with_user("nancy").await;
    let question = author
        .ask(&["a", "b"], json!({"question_text": "Spam?"}))
        .await;
    let admin = app.admin("root").await;
    let browser = browser!(app.address);
    sign_in(&browser, &admin).await;
    browser.press("Spam?").await;
    browser.sees("Moderation").await;
    browser.press("Delete").await;
    browser.press_in_dialog("Delete").await;
    browser.arrives_at("Questions").await;
    app.get(&question.path).await.problem("not_found");
    browser.press("Account").await;
    browser.press("Users").await;
    browser.press("Deleted questions").await;
    browser.press("Spam?").await;
    browser.sees("This question has been deleted.").await;

    browser.go("/admin").await;
    browser.press("Disabled: nancy").await;
    browser.sees("Saved.").await;
    app.token(&author.email, PASSWORD).await.expect(400);
    browser.choose("Role: root", "User").await;
    browser.sees("There would be no active admin left").await;
    let role = "return document.querySelector('[aria-label=\"Role: root\"]').value";
    assert_eq!(browser.run(role).await, json!("admin"));

    browser.press("Sign out").await;
    let user = app.user("paul").await;
    sign_in(&browser, &user).await;
    browser.go("/admin").await;
    browser.sees("Only admins can see this.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_pages_show_results_in_a_frame() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let frame = format!(
        "<!doctype html><title>blog</title><meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; frame-src {0}; script-src {0}\"><script src=\"{0}/embed.js\"></script>\
         <iframe src=\"{0}/embed/{1}\" title=\"small\" width=\"480\" height=\"9\" frameborder=\"0\"></iframe>\
         <iframe src=\"{0}/embed/{1}\" title=\"large\" width=\"480\" height=\"900\" frameborder=\"0\"></iframe>",
        app.address, question.id
    );
    std::fs::write(folder.path().join("index.html"), frame).expect("a page");
    let root = folder.path().display().to_string();
    let blog = TestApp::with(&[("web.root", &root)]).await;
    let mut browser = browser!(blog.address);
    browser.also(&app.address);
    browser.open_page("/").await;
    let fit = "
        const heights = [...document.querySelectorAll('iframe')].map((frame) => frame.clientHeight);
        return heights[0] > 100 && heights[0] < 500 && heights[0] === heights[1]";
    browser.until("frames of their content's height", fit).await;
    browser.enter_frame(0).await;
    browser.sees_votes("java", "0").await;
    author.vote(&question, &[1]).await.expect(201);
    browser.sees_votes("java", "1").await;
    browser.sees("1 voter").await;
    let scrolls = "return document.documentElement.scrollHeight > innerHeight";
    assert_eq!(browser.run(scrolls).await, json!(false));
    browser.screenshot("embed").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_there_soon_with_few_requests() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    browser.go("/login").await;
    browser.requests().await;
    let figures = "
        const { transferSize, domContentLoadedEventEnd } = performance.getEntriesByType('navigation')[0];
        const loaded = performance.getEntriesByType('resource');
        const sum = (key) => loaded.reduce((sum, one) => sum + one[key], 0);
        return {
          interactive: performance.getEntriesByName('interactive')[0]?.startTime,
          paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
          domContentLoadedEventEnd, requests: loaded.length + 1,
          sent: transferSize + sum('transferSize'), plain: sum('decodedBodySize'),
        }";
    browser.tell("Network.clearBrowserCache", json!({})).await;
    for visit in ["first", "second"] {
        browser.requests().await;
        browser.go(&path_of(&question)).await;
        let interactive = "return performance.getEntriesByName('interactive').length === 1";
        browser.until("interactive page", interactive).await;
        println!("{visit} visit: {}", browser.run(figures).await);
        let requests = browser.requests().await;
        let assets = requests.iter().filter(|url| url.contains("/web/"));
        assert!(assets.count() < 20, "{requests:#?}");
        for other in ["editor.js", "account.js", "ranking.js", "explained.js"] {
            assert!(!requests.iter().any(|url| url.ends_with(other)), "{other}");
        }
    }
    browser.close().await;
}
