//! Forms: drafts, mistakes, the keyboard, pasted lists, and dialogs.

use serde_json::json;
use thirtyfour::Key;

use super::{path_of, sign_in};
use crate::support::{Browser, PASSWORD, TestApp};

/// Waits until a control of the editor has this value.
async fn has(browser: &Browser, control: &str, value: &str) {
    let (selector, value) = (json!(control), json!(value));
    let script = format!("return document.querySelector({selector})?.value === {value}");
    browser
        .until(&format!("{control} with {value}"), &script)
        .await;
}

/// The texts of the choices in the editor.
const CHOICES: &str =
    "return [...document.querySelectorAll('[name=choice]')].map((box) => box.value)";

/// Whether the first mistake is in view, beside the control that has the focus.
const FIRST_MISTAKE_IS_SEEN: &str = "\
    const note = document.querySelector('.error').getBoundingClientRect(); \
    const on = document.activeElement.getBoundingClientRect(); \
    return [note, on].every(({ top, bottom }) => top >= 0 && bottom <= innerHeight)";

#[tokio::test(flavor = "multi_thread")]
async fn drafts_outlive_a_reload_the_back_button_and_the_session() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "What for lunch?").await;
    browser.write("Choice 1", "pizza").await;
    browser.press("Add a choice").await;
    browser.write("Choice 3", "pasta").await;
    browser.choose("Voters choose", "Several choices").await;
    browser.reload().await;
    browser.sees("Your draft has been restored.").await;
    has(&browser, "[name=question_text]", "What for lunch?").await;
    has(&browser, "[name=answers]", "several").await;
    assert_eq!(browser.run(CHOICES).await, json!(["pizza", "", "pasta"]));

    browser.press("Questions").await;
    browser.arrives_at("Questions").await;
    browser.back().await;
    browser.arrives_at("New question").await;
    has(&browser, "[name=question_text]", "What for lunch?").await;
    browser.write("Choice 2", "salad").await;

    // The session ends elsewhere. After signing in, the draft is there and can be published.
    let elsewhere = app.another_session(&user).await;
    elsewhere.delete("/auth/sessions").await.expect(204);
    browser.press("Publish").await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", &user.email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.arrives_at("New question").await;
    browser.sees("Your draft has been restored.").await;
    assert_eq!(
        browser.run(CHOICES).await,
        json!(["pizza", "salad", "pasta"])
    );
    browser.press("Publish").await;
    browser.arrives_at("What for lunch?").await;
    browser.sees("Choose up to 3.").await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    has(&browser, "[name=question_text]", "").await;
    browser.sees_no("Your draft has been restored.").await;

    // Leaving a form that has been begun asks first.
    browser.write("Question", "Never mind?").await;
    browser.press("Cancel").await;
    browser.press_in_dialog("Discard draft").await;
    browser.arrives_at("Questions").await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    has(&browser, "[name=question_text]", "").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_question_comes_with_its_link_and_its_qr_code() {
    // The server knows its own address.
    let app = TestApp::without_mail_server().await;
    let user = app.user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "What for lunch?").await;
    browser.write("Choice 1", "pizza").await;
    browser.write("Choice 2", "pasta").await;
    browser.press("Publish").await;
    browser.arrives_at("What for lunch?").await;
    browser.sees("Your poll is ready").await;
    let link = "return document.querySelector('.ready [name=link]').value === location.href";
    browser.until("the link", link).await;
    let code = "const { complete, naturalWidth } = document.querySelector('.ready .qr'); \
        return complete && naturalWidth > 0";
    browser.until("the QR code", code).await;
    browser.press("Copy").await;
    // The button says so, or where the browser does not let pages copy, how to copy by hand.
    let told = "return document.querySelector('.ready .primary').textContent === 'Copied.' \
        || document.querySelector('#toast').textContent === 'Press Ctrl+C to copy.'";
    browser.until("what was copied", told).await;
    browser.screenshot("ready").await;
    browser.reload().await;
    browser.arrives_at("What for lunch?").await;
    browser.sees_no("Your poll is ready").await;
    browser.press("Share").await;
    let code = "return document.querySelector('dialog .qr')?.naturalWidth > 0";
    browser.until("the QR code", code).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_a_question_that_has_changed_overwrites_nothing_unseen() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    let edit = format!("{}/edit", path_of(&question));
    browser.go(&edit).await;
    browser.write("Description", "For the next service.").await;
    browser.write("Choice 1", "Python 4").await;
    browser.press("Move choice 2 up").await;
    let choice = json!({"choice_text": "go"});
    let added = author.post(&question.under("choices"), choice).await;
    added.expect(201);
    author.vote(&question, &[0]).await.expect(201);
    browser.reload().await;
    browser
        .sees("The question has been changed since you began it")
        .await;
    // What people have voted on stays, and so does the choice that the draft does not know.
    assert_eq!(browser.run(CHOICES).await, json!(["java", "python", "go"]));
    browser.press("Save").await;
    browser.arrives_at("Which one?").await;
    browser.sees("For the next service.").await;
    browser.sees_votes("python", "1").await;
    browser.sees_votes("go", "0").await;

    browser.go(&edit).await;
    browser.write("Description", "Something else.").await;
    browser.reload().await;
    browser.press("Discard draft").await;
    browser.press_in_dialog("Discard draft").await;
    has(&browser, "textarea", "For the next service.").await;
    browser.sees_no("Your draft has been restored.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_mistake_is_in_view_with_the_focus() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    browser.resize(360, 740, true).await;
    sign_in(&browser, &user).await;
    browser.go("/questions/new").await;
    // The server lists the choices before the question.
    browser.press("Publish").await;
    browser.sees("Use 1 to 200 characters.").await;
    let on_question = "return document.activeElement.name === 'question_text'";
    browser
        .until("focus on the first mistake", on_question)
        .await;
    assert_eq!(browser.run(FIRST_MISTAKE_IS_SEEN).await, json!(true));

    browser.write("Question", "Anything?").await;
    for choice in ["Remove choice 2", "Remove choice 1"] {
        browser.press(choice).await;
    }
    let on_button = "return document.activeElement.textContent === 'Add a choice'";
    browser.until("focus on the button", on_button).await;
    browser.press("Publish").await;
    browser.sees("A question needs 2 to 100 choices.").await;
    browser.until("focus on the button", on_button).await;
    assert_eq!(browser.run(FIRST_MISTAKE_IS_SEEN).await, json!(true));

    // A mistake among the further options opens them.
    browser.press("Add a choice").await;
    browser.write("Choice 1", "yes").await;
    browser.press("Add a choice").await;
    browser.write("Choice 2", "no").await;
    browser.choose("Voters choose", "Several choices").await;
    browser.press("More options").await;
    browser.write("At most", "3").await;
    browser.press("More options").await;
    browser.press("Publish").await;
    browser.sees("There are not so many choices.").await;
    assert_eq!(browser.run(FIRST_MISTAKE_IS_SEEN).await, json!(true));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enter_goes_to_the_next_field_of_the_editor() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.type_text("Tea or coffee?").await;
    browser.key(Key::Enter).await;
    browser.key(Key::Tab).await;
    for choice in ["tea", "coffee", "neither"] {
        // In the last row, Enter adds another one.
        browser.type_text(choice).await;
        browser.key(Key::Enter).await;
    }
    browser.key(Key::Enter).await;
    let on_answers = "return document.activeElement.name === 'answers'";
    browser.until("focus after the choices", on_answers).await;
    assert_eq!(
        browser.run(CHOICES).await,
        json!(["tea", "coffee", "neither", ""])
    );
    browser.tab_to("Publish").await;
    browser.key(Key::Enter).await;
    browser.arrives_at("Tea or coffee?").await;
    browser.sees_votes("neither", "0").await;
    let asked = user.get("/questions?author=me").await;
    assert_eq!(asked.json["data"].as_array().map(Vec::len), Some(1));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_list_becomes_choices() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.go("/questions/new").await;
    let paste = async |text: &str| {
        let script = "const data = new DataTransfer(); \
            data.setData('text', arguments[0]); \
            const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }); \
            return document.activeElement.dispatchEvent(event)";
        browser.run_with(script, vec![json!(text)]).await
    };
    browser.write("Choice 2", "soup").await;
    browser
        .run("document.querySelector('[name=choice]').focus()")
        .await;
    // The browser itself pastes a single line.
    assert_eq!(paste("pizza\n").await, json!(true));
    assert_eq!(
        paste("1. pizza\r\n2. pasta\n\n3. salad\n").await,
        json!(false)
    );
    browser.sees("3 choices pasted.").await;
    assert_eq!(
        browser.run(CHOICES).await,
        json!(["pizza", "pasta", "salad", "soup"])
    );
    browser.write("Question", "What for lunch?").await;
    browser.press("Publish").await;
    browser.arrives_at("What for lunch?").await;
    browser.sees_votes("salad", "0").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_can_be_asked_again() {
    let (app, author) = TestApp::with_user("lucy").await;
    let more = json!({"description": "Every week.", "min_choices": 2, "max_choices": 2,
        "results_visibility": "after_vote", "allow_change": false});
    let question = author.ask(&["monday", "tuesday", "friday"], more).await;
    author.vote(&question, &[0, 2]).await.expect(201);
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    browser.press("Ask again").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "And this week?").await;
    browser.reload().await;
    browser.press("Publish").await;
    browser.arrives_at("And this week?").await;
    let path = browser.run("return location.pathname").await;
    let copy = author.get(path.as_str().expect("a path")).await.expect(200);
    let before = author.get(&question.path).await.expect(200);
    for field in [
        "description",
        "min_choices",
        "max_choices",
        "results_visibility",
        "allow_change",
    ] {
        assert_eq!(copy.json[field], before.json[field], "{field}");
    }
    assert_ne!(copy.json["id"], before.json["id"]);
    assert_eq!(copy.json["ballot_count"], json!(0));
    for index in 0..3 {
        let text = |json: &serde_json::Value| json["choices"][index]["choice_text"].clone();
        assert_eq!(text(&copy.json), text(&before.json));
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_focus_what_does_no_harm_and_the_gravest_ask_for_more() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    author.vote(&question, &[0]).await.expect(201);
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    let on_cancel = "return document.activeElement.matches('dialog button') && \
        document.activeElement.textContent === 'Cancel'";
    for button in ["Close voting", "Delete"] {
        browser.press(button).await;
        browser.until("focus on Cancel", on_cancel).await;
        browser.key(Key::Enter).await;
        browser.sees_no("Cancel").await;
    }
    let still = author.get(&question.path).await.expect(200);
    assert_eq!(still.json["status"], json!("open"));

    browser.press("Delete").await;
    browser.press_in_dialog("Delete").await;
    browser.sees("Tick this to go on.").await;
    author.get(&question.path).await.expect(200);
    browser.press("Delete it together with its votes").await;
    browser.press("Delete").await;
    browser.arrives_at("My questions").await;
    // The heading of the page after a dialog has the focus.
    let on_heading = "return document.activeElement.tagName === 'H1'";
    browser.until("focus on the heading", on_heading).await;
    let deleted = author.get(&question.path).await.expect(200);
    assert_ne!(deleted.json["deleted_at"], json!(null));
    // A message stays when its action leads to another page, and goes with the next.
    browser.sees("The question has been deleted.").await;
    browser.press("Account").await;
    browser.sees_no("The question has been deleted.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_appear_above_dialogs() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    // The browser of the test may not write to the clipboard.
    browser
        .run("navigator.clipboard.writeText = async () => {}")
        .await;
    browser.press("Share").await;
    browser.press_in_dialog("Copy").await;
    // What is outside of the dialog is inert: nobody can point at it, screen readers skip it.
    let on_top = "\
        const said = [...document.querySelectorAll('[role=status]')].find((it) => it.textContent === 'Copied.'); \
        if (!said) return false; \
        const { left, top, width, height } = said.getBoundingClientRect(); \
        return said.contains(document.elementFromPoint(left + width / 2, top + height / 2))";
    browser.until("message above the dialog", on_top).await;
    browser.close().await;
}
