//! Permissions: every operation of the OpenAPI document, called by every role.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{PASSWORD, Question, TestApp, User};

/// The statuses of an operation for: no token, a bad token, a guest, a guest who is invited to the
/// question, another user, the author (or owner), and an admin.
type Row = (&'static str, [u16; 7]);

/// The column of the invited guest.
const INVITED: usize = 3;

/// The target is a question of the author's on which anyone may vote (for the invited guest, one for
/// invited voters), or the author's account. Each role has a ballot where the operation is about one.
#[rustfmt::skip]
const TABLE: [Row; 52] = [
    //                    none  bad guest invited other author admin
    ("issueToken",       [200, 200, 200, 200, 200, 200, 200]),
    ("revokeToken",      [200, 200, 200, 200, 200, 200, 200]),
    ("listSessions",     [401, 401, 200, 200, 200, 200, 200]),
    ("endSession",       [401, 401, 404, 404, 404, 204, 404]),
    ("endAllSessions",   [401, 401, 204, 204, 204, 204, 204]),
    ("createGuest",      [201, 201, 201, 201, 201, 201, 201]),
    ("createUser",       [201, 401, 201, 409, 201, 201, 201]),
    ("listUsers",        [401, 401, 403, 403, 403, 403, 200]),
    ("getUser",          [200, 401, 200, 200, 200, 200, 200]),
    ("updateUser",       [401, 401, 403, 403, 403, 403, 200]),
    ("getMe",            [401, 401, 200, 200, 200, 200, 200]),
    ("updateMe",         [401, 401, 403, 403, 200, 200, 200]),
    ("deleteMe",         [401, 401, 403, 403, 204, 204, 204]),
    ("deleteGuest",      [401, 401, 204, 204, 403, 403, 403]),
    ("requestEmailVerification", [401, 401, 403, 403, 202, 202, 202]),
    ("verifyEmail",      [401, 401, 403, 403, 422, 422, 422]),
    ("requestPasswordReset", [202, 202, 202, 202, 202, 202, 202]),
    ("resetPassword",    [422, 422, 422, 422, 422, 422, 422]),
    ("listMail",         [401, 401, 403, 403, 403, 403, 200]),
    ("changePassword",   [401, 401, 403, 403, 204, 204, 204]),
    ("listQuestions",    [200, 401, 200, 200, 200, 200, 200]),
    ("createQuestion",   [401, 401, 403, 403, 201, 201, 201]),
    ("getQuestion",      [200, 401, 200, 200, 200, 200, 200]),
    ("updateQuestion",   [401, 401, 403, 403, 403, 200, 200]),
    ("deleteQuestion",   [401, 401, 403, 403, 403, 204, 204]),
    ("closeQuestion",    [401, 401, 403, 403, 403, 200, 200]),
    ("reopenQuestion",   [401, 401, 403, 403, 403, 200, 200]),
    ("restoreQuestion",  [401, 401, 403, 403, 404, 200, 200]),
    ("listChoices",      [200, 401, 200, 200, 200, 200, 200]),
    ("addChoice",        [401, 401, 403, 403, 403, 201, 201]),
    ("getChoice",        [200, 401, 200, 200, 200, 200, 200]),
    ("updateChoice",     [401, 401, 403, 403, 403, 200, 200]),
    ("deleteChoice",     [401, 401, 403, 403, 403, 204, 204]),
    ("createInvitations", [401, 401, 403, 403, 403, 201, 201]),
    ("listInvitations",  [401, 401, 403, 403, 403, 200, 200]),
    ("refuseInvitations", [422, 422, 422, 422, 422, 422, 422]),
    ("takeBackInvitation", [401, 401, 403, 403, 403, 204, 204]),
    ("getEligibility",   [200, 401, 200, 200, 200, 200, 200]),
    ("getBallot",        [401, 401, 200, 200, 200, 200, 200]),
    ("listMyBallots",    [401, 401, 200, 200, 200, 200, 200]),
    ("castBallot",       [401, 401, 201, 201, 201, 201, 201]),
    ("withdrawBallot",   [401, 401, 204, 204, 204, 204, 204]),
    ("listReceipts",     [200, 401, 200, 200, 200, 200, 200]),
    ("getResults",       [200, 401, 200, 200, 200, 200, 200]),
    ("getResultsPicture", [200, 401, 200, 200, 200, 200, 200]),
    ("getQrCode",        [200, 401, 200, 200, 200, 200, 200]),
    ("watchResults",     [200, 401, 200, 200, 200, 200, 200]),
    ("exportMe",          [401, 401, 200, 200, 200, 200, 200]),
    // Of a question with public ballots, except for the invited guest.
    ("listBallots",       [200, 401, 200, 409, 200, 200, 200]),
    ("listVoters",        [401, 401, 403, 403, 403, 200, 200]),
    ("exportBallots",     [401, 401, 403, 403, 403, 200, 200]),
    // The request is no WebSocket handshake.
    ("openResultsSocket",[400, 400, 400, 400, 400, 400, 400]),
];

/// An operation of the OpenAPI document.
struct Operation {
    id: String,
    method: Method,
    path: String,
}

fn operations() -> Vec<Operation> {
    let document = polls::app::document();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
            });
        }
    }
    operations
}

#[test]
fn every_operation_has_an_entry_and_every_entry_an_operation() {
    let specified: BTreeSet<String> = operations().into_iter().map(|it| it.id).collect();
    let entered: BTreeSet<String> = TABLE.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(entered.len(), TABLE.len());
    assert_eq!(specified, entered);
}

/// The users of one operation. Each operation has its own, because it may change or delete them.
struct People {
    app: TestApp,
    guest: User,
    invited: User,
    /// The question that the invited guest is invited to.
    question: Question,
    other: User,
    author: User,
    admin: User,
}

impl People {
    async fn new() -> People {
        let app = TestApp::without_mail_server().await;
        // The last admin cannot delete the own account, so there is another one.
        app.admin("remaining").await;
        let (other, author) = (app.user("other").await, app.user("author").await);
        let admin = app.admin("admin").await;
        let for_invited = json!({"electorate": "invited"});
        let question = author.ask(&["a", "b", "c"], for_invited).await;
        People {
            guest: app.guest().await,
            invited: app.invited(&author, &question).await,
            question,
            app,
            other,
            author,
            admin,
        }
    }

    /// A question in the state that the operation needs.
    async fn question_for(&self, operation: &str, role: usize) -> Question {
        let fields = match operation {
            "listBallots" => json!({"electorate": "anyone", "ballot_secrecy": "public"}),
            "listReceipts" => {
                json!({"electorate": "anyone", "ballot_secrecy": "anonymous", "allow_change": false})
            }
            _ if operation.contains("Invitation") => json!({"electorate": "invited"}),
            _ => json!({"electorate": "anyone"}),
        };
        let question = match role {
            INVITED if operation != "listReceipts" => self.question.clone(),
            _ => self.author.ask(&["a", "b", "c"], fields).await,
        };
        match operation {
            // It is shown for ten ballots and more, after the close.
            "listVoters" if role != INVITED => {
                for _ in 0..10 {
                    let voter = self.app.user("voter").await;
                    voter.vote(&question, &[0]).await.expect(201);
                }
                let close = question.under("close");
                self.author.post(&close, json!(null)).await.expect(200);
            }
            "getBallot" | "withdrawBallot" => {
                let voters = match role {
                    INVITED => vec![&self.invited],
                    _ => vec![&self.guest, &self.other, &self.author, &self.admin],
                };
                for voter in voters {
                    voter.vote(&question, &[0]).await.expect(201);
                }
            }
            // The stream of a closed question ends by itself.
            "reopenQuestion" | "watchResults" | "exportBallots" | "listReceipts" => {
                self.author
                    .post(&question.under("close"), json!(null))
                    .await
                    .expect(200);
            }
            "restoreQuestion" => {
                self.author.delete(&question.path).await.expect(204);
            }
            _ => {}
        }
        question
    }

    /// A valid request, without an access token.
    async fn request(&self, operation: &Operation, role: usize) -> RequestBuilder {
        let question = match operation.path.contains("{question_id}") {
            true => self.question_for(&operation.id, role).await,
            false => Question {
                id: String::new(),
                path: String::new(),
                choices: vec![String::new()],
            },
        };
        let invitation = match operation.path.contains("{invitation_id}") {
            true => {
                let path = question.under("invitations");
                let invited = self.author.post(&path, json!({"count": 1})).await;
                invited.expect(201).json["data"][0]["id"].clone()
            }
            false => json!(""),
        };
        let path = operation.path.replace("{question_id}", &question.id);
        let path = path
            .replace("{invitation_id}", invitation.as_str().expect("an id"))
            .replace("{choice_id}", &question.choices[0])
            .replace("{user_id}", &self.author.id)
            // The author's session; a token names it even after it has expired.
            .replace("{session_id}", &session_id(&self.author.access_token));
        let path = match operation.id.as_str() {
            "listMyBallots" => format!("{path}?question_id={}", self.author.id),
            _ => path,
        };
        let request = self.app.request(operation.method.clone(), &path);
        match body_of(&operation.id, &question, role) {
            Some(Content::Json(body)) => request.json(&body),
            Some(Content::Form) => request.form(&[
                ("grant_type", "password"),
                ("username", &self.author.email),
                ("password", PASSWORD),
                ("token", "nonsense"),
            ]),
            None => request,
        }
    }
}

enum Content {
    Json(Value),
    Form,
}

fn body_of(operation: &str, question: &Question, number: usize) -> Option<Content> {
    let body = match operation {
        "issueToken" | "revokeToken" => return Some(Content::Form),
        "createUser" => {
            json!({"name": "n", "email": format!("{number}@example.com"), "password": PASSWORD})
        }
        "updateUser" => json!({"disabled": true}),
        "updateMe" => json!({"name": "Other Name"}),
        "changePassword" => {
            json!({"current_password": PASSWORD, "new_password": "another password"})
        }
        "deleteMe" => json!({"current_password": PASSWORD}),
        "verifyEmail" => json!({"code": "00000-00000"}),
        "requestPasswordReset" => json!({"email": "somebody@example.org"}),
        "resetPassword" => json!({"token": "nonsense", "new_password": "another password"}),
        "createQuestion" => {
            json!({"question_text": "?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}]})
        }
        "updateQuestion" => json!({"description": "changed"}),
        "addChoice" => json!({"choice_text": "d"}),
        "createInvitations" => json!({"count": 1}),
        "refuseInvitations" => json!({"token": "nonsense"}),
        "updateChoice" => json!({"choice_text": "z"}),
        "castBallot" => json!({"choice_ids": [question.choices[0]]}),
        _ => return None,
    };
    Some(Content::Json(body))
}

/// The session that an access token belongs to.
fn session_id(token: &str) -> String {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["sid"].as_str().expect("a session").to_owned()
}

async fn check(operation: Operation) {
    let people = People::new().await;
    let expected = TABLE
        .iter()
        .find(|(id, _)| *id == operation.id)
        .map(|(_, statuses)| statuses);
    let bad = format!("{}x", people.author.access_token);
    let tokens = [
        None,
        Some(bad.as_str()),
        Some(&people.guest.access_token),
        Some(&people.invited.access_token),
        Some(&people.other.access_token),
        Some(&people.author.access_token),
        Some(&people.admin.access_token),
    ];
    let mut found = Vec::new();
    for (number, token) in tokens.into_iter().enumerate() {
        let request = people.request(&operation, number).await;
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = send(request).await;
        found.push(answer.status.as_u16());
        if answer.status.is_client_error() {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{}",
                operation.id
            );
        }
    }
    assert_eq!(
        expected.map(|statuses| statuses.to_vec()),
        Some(found),
        "{}",
        operation.id
    );
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_table_says() {
    let operations = operations();
    assert!(!operations.is_empty());
    for operation in operations {
        check(operation).await;
    }
}
