//! The web page, in a real Chromium.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::support::app::{client, send};
use crate::support::require::installed;
use crate::support::{Browser, PASSWORD, Question, Server, TestApp, User};

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
    browser.sees("Must be an email address.").await;
    browser.sees("Must have 8 to 128 characters.").await;
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
    browser.arrives_at("A new question").await;
    browser.write("Question", "Which language?").await;
    browser.write("Choice 1", "rust").await;
    browser.write("Choice 2", "rust").await;
    browser.press("Ask it").await;
    browser.sees("Must differ from the other choices").await;
    browser.write("Choice 2", "go").await;
    browser.press("Add a choice").await;
    browser.write("Choice 3", "python").await;
    browser.press("Move choice 3 up").await;
    browser.press("Ask it").await;
    browser.arrives_at("Which language?").await;
    browser.sees("0 ballots").await;

    browser.press("rust").await;
    browser.press("Vote").await;
    browser.sees("Your vote is counted.").await;
    browser.sees_votes("rust", "1").await;
    browser.sees("1 ballot").await;
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
    browser.arrives_at("Edit the question").await;
    browser.sees("People have voted already.").await;
    browser.write("Description", "For the next service.").await;
    browser.press("Add a choice").await;
    browser.write("Choice 4", "zig").await;
    browser.press("Save").await;
    browser.arrives_at("Which language?").await;
    browser.sees("For the next service.").await;
    browser.sees_votes("zig", "0").await;
    browser.sees_votes("python", "1").await;

    browser.press("Close voting").await;
    browser.sees("The tally stays as it is").await;
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
    browser.press_in_dialog("Delete").await;
    browser.arrives_at("My questions").await;
    browser.sees("No question matches.").await;
    browser.choose("Whose", "Deleted").await;
    browser.press("Which language?").await;
    browser.press("Restore").await;
    browser.sees("The question is back.").await;
    browser.back().await;
    browser.sees("No question matches.").await;

    browser.press("Account").await;
    browser.arrives_at("Ada").await;
    browser.write("Name", "Ada Lovelace").await;
    browser.press("Save").await;
    browser.arrives_at("Ada Lovelace").await;
    browser.write("Current password", "not this one").await;
    browser.write("New password", "another good one").await;
    browser.press("Change the password").await;
    browser.sees("Is not the password.").await;
    browser.write("Current password", PASSWORD).await;
    browser.press("Change the password").await;
    browser.sees("You are signed out everywhere else.").await;
    browser.press("Sign out").await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", "16666666661").await;
    browser.write("Password", "wrong").await;
    browser.press_button("Sign in").await;
    browser.sees("These credentials are not valid.").await;
    browser.write("Password", "another good one").await;
    browser.press_button("Sign in").await;
    browser.sees("Which language?").await;

    browser.press("Account").await;
    browser.press("Delete the account").await;
    browser.press_in_dialog("Delete the account").await;
    browser.sees("Your account is deleted.").await;
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
        // By Server-Sent Events, not by polling.
        let live = "return Boolean(document.querySelector('.how.live'))";
        browser.until("live stream", live).await;
    }
    author.vote(&question, &[1]).await.expect(201);
    for browser in [&one, &other] {
        browser.sees_votes("java", "1").await;
        browser.sees("1 ballot").await;
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
    browser.tell("Network.enable", json!({})).await;
    let blocked = json!({"urls": ["*/results/live"]});
    browser.tell("Network.setBlockedURLs", blocked).await;
    browser.go(&path_of(&question)).await;
    browser.sees("Live, every few seconds").await;
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
    let told = "return document.querySelector('fieldset .error')?.textContent === 'Choose one.'";
    browser.until("mistake", told).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_is_replaced_unnoticed() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.press("Which one?").await;
    browser.press("python").await;
    // The token has expired by the server's clock, but not by the browser's.
    app.clock.advance(Duration::from_secs(3600));
    browser.press("Vote").await;
    browser.sees_votes("python", "1").await;
    let fresh = app.another_session(&user).await;
    let ballot = fresh.get(&question.under("ballot")).await.expect(200);
    assert_eq!(ballot.json["choice_ids"], json!([question.choices[0]]));
    // After the end of the session the page says so and asks to sign in again.
    fresh.delete("/auth/sessions").await.expect(204);
    browser.press("Account").await;
    browser.arrives_at("Sign in").await;
    browser.sees("You are signed out.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_share_a_session_and_its_end() {
    let app = TestApp::with(&[
        ("auth.access_token_ttl", "1s"),
        // Reusing an old refresh token after this time would end the session.
        ("auth.refresh_reuse_window", "2s"),
    ])
    .await;
    let user = app.user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    let first = browser.open_tab().await;
    browser.go("/account").await;
    browser.arrives_at("lucy").await;
    let calls = "
        const { api } = await import(document.querySelector('script[type=module]').src.replace('main', 'api'));
        const until = Date.now() + 2500;
        let calls = 0;
        while (Date.now() < until) {
          await api('GET', '/users/me');
          calls++;
          await new Promise((go) => setTimeout(go, 50));
        }
        const refreshed = performance.getEntriesByType('resource')
          .filter((one) => one.name.endsWith('/auth/token'))
          .map((one) => performance.timeOrigin + one.responseEnd);
        localStorage.setItem('calls.' + name, JSON.stringify({ calls, refreshed }));";
    // Both tabs call the API for a while, during which access tokens expire.
    for tab in ["first", "second"] {
        let script = format!("name = '{tab}'; (async () => {{ {calls} }})(); return true");
        browser.run(&script).await;
        browser.switch_to(&first).await;
    }
    browser
        .until(
            "calls",
            "return Boolean(localStorage['calls.first'] && localStorage['calls.second'])",
        )
        .await;
    let mut refreshed = Vec::new();
    for tab in ["first", "second"] {
        let script = format!("return JSON.parse(localStorage['calls.{tab}'])");
        let made = browser.run(&script).await;
        let times = made["refreshed"].as_array().cloned().unwrap_or_default();
        assert!(
            made["calls"].as_u64() > Some(5) && times.len() > 1,
            "{made}"
        );
        refreshed.extend(times.iter().filter_map(Value::as_f64));
    }
    // The two tabs never exchange the refresh token at the same time.
    refreshed.sort_by(f64::total_cmp);
    let gaps = refreshed.windows(2).map(|pair| pair[1] - pair[0]);
    let least = gaps.fold(f64::INFINITY, f64::min);
    assert!(least > 100.0, "{refreshed:?}");
    let mut asking = app.another_session(&user).await;
    let sessions = loop {
        let answer = asking.get("/auth/sessions").await;
        if answer.status != 401 {
            break answer.expect(200);
        }
        // Its access token is valid for a moment only.
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &asking.refresh_token),
        ];
        let tokens = app.form("/auth/token", &form).await.expect(200);
        asking = asking.with_tokens(&tokens);
    };
    assert_eq!(sessions.json["data"].as_array().map(Vec::len), Some(3));

    browser.go("/account").await;
    browser.arrives_at("lucy").await;
    browser.open_tab().await;
    browser.go("/account").await;
    browser.press("Sign out").await;
    browser.arrives_at("Sign in").await;
    browser.switch_to(&first).await;
    browser.arrives_at("Sign in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let address = server.address.clone();
    let api = format!("{address}/api/v1");
    let account = json!({"name": "lucy", "email": "lucy@example.org", "password": PASSWORD});
    send(client().post(format!("{api}/users")).json(&account))
        .await
        .expect(201);
    let browser = browser!(address);
    browser.go("/login?next=/questions/new").await;
    browser.write("Email or phone", "lucy@example.org").await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.write("Question", "Still there?").await;
    browser.write("Choice 1", "yes").await;
    browser.write("Choice 2", "no").await;
    browser.press("Ask it").await;
    browser.arrives_at("Still there?").await;

    browser.press("yes").await;
    server.kill();
    browser.press("Vote").await;
    browser
        .sees("The server cannot be reached. Trying again")
        .await;
    browser.screenshot("lost").await;
    let port = address.rsplit(':').next().expect("a port");
    let unlimited = ["--port", port, "--set", "limits.enabled=false"];
    let server = Server::serve(folder.path(), &unlimited);
    browser.sees("Your vote is counted.").await;
    browser.sees_votes("yes", "1").await;
    browser.sees_no("The server cannot be reached").await;
    assert_eq!(server.terminate(), Some(0));
    browser
        .sees("The server cannot be reached. Trying again")
        .await;
    browser.abandon().await;
}

/// Holds back the page's GET requests until `letReads()` is called.
const HOLD_READS: &str = "const fetched = window.fetch; \
    const held = new Promise((allow) => window.letReads = allow); \
    window.fetch = async (url, options) => { \
      if (options.method === 'GET' && !url.endsWith('/live')) await held; \
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
    browser.sees("投票已修改。").await;
    browser.go("/questions/new").await;
    browser.press("发布").await;
    browser.sees("长度须为 1 至 200 个字符。").await;

    // Form input stays when the language changes; the language is remembered.
    browser.write("问题", "哪一个?").await;
    browser.press("English").await;
    browser.arrives_at("A new question").await;
    assert_eq!(
        browser
            .run("return document.querySelector('[name=question_text]').value")
            .await,
        json!("哪一个?")
    );
    browser.reload().await;
    browser.arrives_at("A new question").await;
    assert_eq!(
        browser.run("return document.documentElement.lang").await,
        json!("en")
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_to_complain_about() {
    let given = std::env::var_os("POLLS_TEST_AXE").map(Into::into);
    let fetched = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/axe/node_modules/axe-core/axe.min.js"
    );
    let file = given.unwrap_or_else(|| fetched.into());
    let there = Some(file).filter(|file: &std::path::PathBuf| file.is_file());
    let Some(file) = installed(
        "axe",
        "npm; npm install --prefix target/axe axe-core",
        there,
    ) else {
        return;
    };
    let axe = std::fs::read_to_string(file).expect("axe");
    let app = TestApp::start().await;
    let admin = app.admin("lucy").await;
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
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
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
        "/nowhere",
        &path_of(&question),
        &format!("/embed/{}", question.id),
    ] {
        browser.go(path).await;
        check(path).await;
    }
    browser.go("/register").await;
    browser.press_button("Sign up").await;
    browser.sees("Must have 1 to 40 characters.").await;
    check("mistakes").await;
    sign_in(&browser, &admin).await;
    for path in [
        "/questions?whose=mine",
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
    println!("axe: 0 violations in {views} views, each light and dark");
    browser.close().await;
}

/// Returns the violations, each with the elements that cause it.
const AXE: &str = "return axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => \
    violations.map(({ id, help, nodes }) => [id, help, nodes.map(({ html, failureSummary }) => [html, failureSummary])]))";

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
    browser.sees("This question is deleted.").await;

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
    browser.sees("Only admins may see this.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_pages_show_results_in_a_frame() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let frame = format!(
        "<!doctype html><title>blog</title><iframe src=\"{}/embed/{}\" width=\"480\" height=\"400\"></iframe>\
         <script>addEventListener('message', ({{ data }}) => {{ window.told = data }})</script>",
        app.address, question.id
    );
    std::fs::write(folder.path().join("index.html"), frame).expect("a page");
    let root = folder.path().display().to_string();
    let blog = TestApp::with(&[("web.root", &root)]).await;
    let mut browser = browser!(blog.address);
    browser.also(&app.address);
    browser.open_page("/").await;
    browser.until("message", &format!(
        "return window.told?.type === 'polls:height' && window.told.id === '{}' && window.told.height > 100", question.id
    )).await;
    browser.enter_frame().await;
    browser.sees_votes("java", "0").await;
    author.vote(&question, &[1]).await.expect(201);
    browser.sees_votes("java", "1").await;
    browser.sees("1 ballot").await;
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
        assert!(assets.count() <= 20, "{requests:#?}");
    }
    browser.close().await;
}
