//! Accessibility: keyboard, small screens, languages, and the rules of axe.

use serde_json::json;
use thirtyfour::Key;

use super::{path_of, sign_in};
use crate::support::require::installed;
use crate::support::{Browser, PASSWORD, TestApp};

/// Holds back the page's GET requests until `letReads()` is called.
const HOLD_READS: &str = "const fetched = window.fetch; \
    const held = new Promise((allow) => window.letReads = allow); \
    window.fetch = async (url, options) => { \
      if (options.method === 'GET') await held; \
      return fetched(url, options); \
    };";

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_done_with_the_keyboard_alone() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["python", "java", "go"], json!({})).await;
    let browser = browser!(app.address);
    browser.go("/").await;
    browser.tab_to("Skip to the content").await;
    browser.key(Key::Enter).await;
    browser
        .until("focus", "return document.activeElement.id === 'main'")
        .await;
    browser.reload().await;
    browser.tab_to("Sign in").await;
    browser.key(Key::Enter).await;
    browser.arrives_at("Sign in").await;
    browser.type_text(&user.email).await;
    browser.tab_to("Password").await;
    browser.type_text(PASSWORD).await;
    browser.key(Key::Enter).await;
    browser.arrives_at("Questions").await;
    // The heading of the new page has the focus, so that screen readers read it.
    browser
        .until("focus", "return document.activeElement.tagName === 'H1'")
        .await;
    browser.tab_to("Which one?").await;
    browser.key(Key::Enter).await;
    browser.arrives_at("Which one?").await;
    browser.tab_to("python").await;
    browser.key(Key::Down).await;
    browser.tab_to("Vote").await;
    browser.run(HOLD_READS).await;
    browser.key(Key::Enter).await;
    browser.sees_votes("java", "1").await;
    user.get(&question.under("ballot")).await.expect(200);
    // Rendering the page again does not move the focus of a user who has moved on.
    browser.tab_to("Share").await;
    browser.run("letReads()").await;
    browser.sees("Change my vote").await;
    browser.key(Key::Enter).await;
    browser.sees("Share this question").await;
    browser.key(Key::Escape).await;
    browser.sees_no("Share this question").await;
    let back = "return document.activeElement.textContent === 'Share'";
    browser.until("focus where it was", back).await;
    // A user who waits has the focus on the same button again.
    browser.tab_to("Change my vote").await;
    browser.run("document.activeElement.dataset.old = ''").await;
    browser.key(Key::Enter).await;
    let again = "return document.activeElement.matches('.voting .primary:not([data-old])')";
    browser.until("focus on the new button", again).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_phone_and_speaks_chinese() {
    let app = TestApp::start().await;
    let admin = app.admin("露西").await;
    let long = json!({"question_text": "Donaudampfschifffahrtsgesellschaftskapitänswitwenversammlung".repeat(3)});
    admin
        .ask(
            &[
                "https://example.org/a/very/long/address/without/any/place/to/break/it/anywhere",
                "b",
            ],
            long,
        )
        .await;
    let question = admin
        .ask(
            &["python", "java", "go"],
            json!({"question_text": "最受欢迎的计算机语言?"}),
        )
        .await;
    admin.vote(&question, &[0]).await.expect(201);
    let browser = browser!(app.address, "zh-CN");
    browser.resize(360, 740, true).await;
    browser.go("/login").await;
    browser.arrives_at("登录").await;
    assert_eq!(
        browser.run("return document.documentElement.lang").await,
        json!("zh-CN")
    );
    browser.write("邮箱或手机号", &admin.email).await;
    browser.write("密码", PASSWORD).await;
    browser.press_button("登录").await;
    browser.at("/questions").await;
    for (path, name) in [
        ("/", "home"),
        ("/questions", "list"),
        (&path_of(&question), "question"),
        (&format!("{}/edit", path_of(&question)), "edit"),
        ("/questions/new", "new"),
        ("/account", "account"),
        ("/admin", "admin"),
        ("/nowhere", "nowhere"),
    ] {
        browser.go(path).await;
        let overflow = browser
            .run("return document.documentElement.scrollWidth - innerWidth")
            .await;
        assert_eq!(overflow, json!(0), "{path} is too wide");
        let small = browser
            .run(
                "return [...document.querySelectorAll('button, .button, select, nav a')] \
            .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 24).length",
            )
            .await;
        assert_eq!(small, json!(0), "{path} has buttons too small for a finger");
        browser.screenshot(&format!("phone-{name}")).await;
    }
    browser.go(&path_of(&question)).await;
    browser.sees("1 人投票").await;
    browser.press("java").await;
    browser.press("修改投票").await;
    browser.sees("投票已修改").await;
    browser.go("/questions/new").await;
    browser.press("发布").await;
    browser.sees("请输入 1 至 200 个字符。").await;

    // Form input stays when the language changes; the language is remembered.
    browser.write("投票标题", "哪一个?").await;
    browser.press("English").await;
    browser.arrives_at("New question").await;
    assert_eq!(
        browser
            .run("return document.querySelector('[name=question_text]').value")
            .await,
        json!("哪一个?")
    );
    browser.reload().await;
    browser.arrives_at("New question").await;
    assert_eq!(
        browser.run("return document.documentElement.lang").await,
        json!("en")
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_to_complain_about() {
    let Some(axe) = axe() else { return };
    let app = TestApp::without_mail_server().await;
    let admin = app.admin("lucy").await;
    let forgotten = app.post("/auth/password-reset", json!({"email": admin.email}));
    forgotten.await.expect(202);
    let question = admin
        .ask(
            &["python", "java", "go"],
            json!({"description": "For the next service.", "max_choices": 2}),
        )
        .await;
    let closed = admin
        .ask(&["a", "b"], json!({"question_text": "Over?"}))
        .await;
    for question in [&question, &closed] {
        admin.vote(question, &[0]).await.expect(201);
    }
    admin
        .post(&closed.under("close"), json!(null))
        .await
        .expect(200);
    let browser = browser!(app.address);
    let mut views = 0;
    let mut check = async |what: &str| {
        for scheme in ["print", "dark", "light"] {
            match scheme {
                "print" => browser.print().await,
                scheme => browser.prefer(scheme).await,
            }
            let found = browser.run(&format!("{axe}; {AXE}")).await;
            assert_eq!(found, json!([]), "{what}, {scheme}: {found:#}");
        }
        views += 1;
    };
    for path in [
        "/",
        "/questions",
        "/login",
        "/register",
        "/reset",
        "/i",
        "/refuse",
        "/nowhere",
        &path_of(&question),
        &format!("/embed/{}", question.id),
        "/problems",
        "/problems/stale",
        "/docs/sdk",
        "/docs/secrecy",
        "/docs/changelog",
    ] {
        browser.go(path).await;
        check(path).await;
    }
    browser.go("/register").await;
    browser.press_button("Sign up").await;
    browser.sees("Use 1 to 40 characters.").await;
    check("mistakes").await;
    let for_anyone = json!({"electorate": "anyone", "question_text": "Lunch?"});
    let for_anyone = admin.ask(&["pizza", "pasta"], for_anyone).await;
    browser.go(&path_of(&for_anyone)).await;
    browser.press("pasta").await;
    check("a ballot without an account").await;
    browser.press("Vote").await;
    browser.sees("Sign up to keep your vote").await;
    check("a vote without an account").await;
    for path in ["/login", "/register"] {
        browser.go(path).await;
        check(&format!("{path} of a guest")).await;
    }
    let for_some = json!({"electorate": "verified", "question_text": "Dinner?"});
    let for_some = admin.ask(&["soup", "salad"], for_some).await;
    sign_in(&browser, &admin).await;
    for path in [
        "/questions?whose=mine",
        "/questions?whose=voted",
        "/questions/new",
        &format!("{}/edit", path_of(&question)),
        "/account",
        "/admin",
        &path_of(&closed),
        &path_of(&question),
    ] {
        browser.go(path).await;
        check(path).await;
    }
    browser.press("Share").await;
    check("a dialog").await;
    browser.go(&path_of(&for_some)).await;
    browser.sees("Verify yours here:").await;
    check("a refusal").await;
    browser.go(&path_of(&closed)).await;
    browser.press("Download votes").await;
    browser.sees("CSV is for spreadsheets").await;
    check("files of the votes").await;
    let public = json!({"ballot_secrecy": "public", "question_text": "Tea?"});
    let public = admin.ask(&["green", "black"], public).await;
    admin.vote(&public, &[0]).await.expect(201);
    browser.go(&path_of(&public)).await;
    check("public ballots").await;
    browser.press("Who voted for what").await;
    browser.sees("lucy").await;
    check("who voted for what").await;
    for method in ["instant_runoff", "ranked_pairs", "borda", "star"] {
        let question = admin
            .ask(&["python", "java", "go"], json!({"method": method}))
            .await;
        browser.go(&path_of(&question)).await;
        check(&format!("a ballot by {method}")).await;
        if method == "star" {
            let scores = json!({"scores": [{"choice_id": question.choices[0], "score": 3}]});
            admin.put(&question.under("ballot"), scores).await
        } else {
            admin.vote(&question, &[0, 1]).await
        }
        .expect(201);
        browser.go(&path_of(&question)).await;
        browser.press("How it is counted").await;
        browser.settled().await;
        check(&format!("a count by {method}")).await;
    }
    browser.go("/questions/new").await;
    browser.write("Question", "What for lunch?").await;
    browser.choose("Voters choose", "Several choices").await;
    browser.reload().await;
    browser.press("More options").await;
    browser.choose("Voters choose", "Ranking").await;
    check("a draft").await;
    browser.press("Cancel").await;
    check("a question").await;
    browser.resize(360, 740, true).await;
    for path in ["/questions", "/questions/new", &path_of(&question)] {
        browser.go(path).await;
        check(&format!("{path} on a phone")).await;
    }
    println!("axe: 0 violations in {views} views, each light, dark and printed");
    browser.close().await;
}

/// The source of axe; None if it is not installed and the test is skipped.
pub fn axe() -> Option<String> {
    let given = std::env::var_os("POLLS_TEST_AXE").map(Into::into);
    let fetched = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/axe/node_modules/axe-core/axe.min.js"
    );
    let file = given.unwrap_or_else(|| fetched.into());
    let there = Some(file).filter(|file: &std::path::PathBuf| file.is_file());
    let file = installed(
        "axe",
        "npm; npm install --prefix target/axe axe-core",
        there,
    )?;
    Some(std::fs::read_to_string(file).expect("axe"))
}

/// Returns the violations, each with the elements that cause it.
pub const AXE: &str = "return axe.run(window.checked ?? document, { resultTypes: ['violations'] }).then(({ violations }) => \
    violations.map(({ id, help, nodes }) => [id, help, nodes.map(({ html, failureSummary }) => [html, failureSummary])]))";
