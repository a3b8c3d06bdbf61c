//! A server in the process of the test, with a clock that the test moves, and its users.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use polls::app::{self, App};
use polls::clock::Clock;
use polls::config::{self, Flag, Sources};
use polls::db::Db;
use polls::http::Listener;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Answer, engine};

/// The grant of an invitation.
const INVITATION: &str = "urn:polls:grant:invitation";

/// The password of every test account.
pub const PASSWORD: &str = "correct horse battery";

/// A server with a fresh database.
pub struct TestApp {
    /// Such as `http://127.0.0.1:4711`.
    pub address: String,
    /// The server's clock.
    pub clock: Clock,
    pub db: Db,
    pub questions: polls::questions::Questions,
    pub mail: polls::mail::Mail,
    accounts: polls::auth::Accounts,
    client: Client,
    next_user: AtomicU32,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
    settings: Vec<(String, String)>,
    /// Deleted with the test.
    folder: Arc<TempDir>,
}

/// A signed-in user.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: String,
    pub access_token: String,
    pub refresh_token: String,
    client: Client,
    address: String,
}

impl TestApp {
    /// A server with default settings, but without limits, because tests sign in often.
    pub async fn start() -> TestApp {
        TestApp::with(&[]).await
    }

    /// A server with further settings, such as `("ballots.queue", "1")`.
    pub async fn with(settings: &[(&str, &str)]) -> TestApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        TestApp::on(Arc::new(folder), settings).await
    }

    /// A server whose mail server cannot be reached: it queues messages.
    pub async fn without_mail_server() -> TestApp {
        TestApp::with(&[
            ("mail.url", "smtp://127.0.0.1:9"),
            ("mail.from", "polls@example.org"),
            ("server.public_url", "https://polls.example.org"),
        ])
        .await
    }

    /// Another server of the same database, with the same settings and a clock of its own.
    pub async fn beside(&self) -> TestApp {
        self.beside_with(&[]).await
    }

    /// The same with further settings.
    pub async fn beside_with(&self, more: &[(&str, &str)]) -> TestApp {
        let settings = self.settings.iter();
        let settings = settings.map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
        TestApp::on(self.folder.clone(), &settings).await
    }

    async fn on(folder: Arc<TempDir>, settings: &[(&str, &str)]) -> TestApp {
        let database = engine::database_url(folder.path());
        let defaults = [
            ("database.url", database.as_str()),
            ("server.port", "0"),
            ("limits.enabled", "false"),
            // Cheap password hashes; their cost has tests of its own.
            ("accounts.password_memory", "64KiB"),
            ("accounts.password_iterations", "1"),
        ];
        let flag = |(key, value): &(&str, &str)| Flag {
            name: format!("--set {key}"),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let flags = defaults.iter().chain(settings).map(flag).collect();
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        let config = match config::load(&sources) {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{problems}"),
        };
        let listener = Listener::bind(&config.server).await.expect("a free port");
        let address = listener.address().to_string();
        let clock = Clock::default();
        let app = App::open(config, clock.clone())
            .await
            .expect("the app opens");
        let (db, questions) = (app.db.clone(), app.questions.clone());
        let (accounts, mail) = (app.accounts.clone(), app.mail.clone());
        let stop = CancellationToken::new();
        let running = tokio::spawn(app::run(app, listener, None, stop.clone()));
        TestApp {
            address,
            clock,
            db,
            questions,
            mail,
            accounts,
            client: client(),
            next_user: AtomicU32::new(1),
            stop,
            running: Some(running),
            settings: settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            folder,
        }
    }

    /// A server and a signed-in user.
    pub async fn with_user(name: &str) -> (TestApp, User) {
        let app = TestApp::start().await;
        let user = app.user(name).await;
        (app, user)
    }

    /// Registers a user and signs in.
    pub async fn user(&self, name: &str) -> User {
        let number = self.next_user.fetch_add(1, Ordering::Relaxed);
        let email = format!("{}{number}@example.org", name.to_lowercase());
        let account = json!({"name": name, "email": email, "password": PASSWORD});
        let id = self.post("/users", account).await.expect(201).text("id");
        self.sign_in(id, name, email).await
    }

    /// Registers an admin and signs in.
    pub async fn admin(&self, name: &str) -> User {
        let user = self.user(name).await;
        self.promote(&user.email).await;
        self.sign_in(user.id, name, user.email).await
    }

    async fn promote(&self, email: &str) {
        let change = polls::users::UserPatch {
            role: Some(polls::users::Role::Admin),
            ..Default::default()
        };
        let account = self.accounts.by_login(email).await;
        let account = account.expect("the account is there");
        let promoted = self
            .accounts
            .set_access(account.id, change, &Default::default())
            .await;
        promoted.expect("it is promoted");
    }

    async fn sign_in(&self, id: String, name: &str, email: String) -> User {
        let tokens = self.token(&email, PASSWORD).await.expect(200);
        User {
            id,
            name: name.to_owned(),
            email,
            access_token: tokens.text("access_token"),
            refresh_token: tokens.text("refresh_token"),
            client: self.client.clone(),
            address: self.address.clone(),
        }
    }

    /// Makes a guest.
    pub async fn guest(&self) -> User {
        User::guest(&self.client, &self.address).await
    }

    /// Exchanges the code of an invitation for tokens.
    pub async fn exchange(&self, code: &str) -> Answer {
        let form = [("grant_type", INVITATION), ("code", code)];
        self.form("/auth/token", &form).await
    }

    /// A guest who is invited to a question by its author.
    pub async fn invited(&self, author: &User, question: &Question) -> User {
        let path = question.under("invitations");
        let invited = author.post(&path, json!({"count": 1})).await.expect(201);
        let code = invited.json["data"][0]["code"].as_str().expect("a code");
        self.guest_of(code).await
    }

    /// The guest of an invitation, by its code.
    pub async fn guest_of(&self, code: &str) -> User {
        self.guest_with(&self.exchange(code).await.expect(200))
            .await
    }

    /// The guest who has got these tokens.
    pub async fn guest_with(&self, tokens: &Answer) -> User {
        let nobody = User::of_token("", "", self.client.clone(), &self.address);
        let guest = nobody.with_tokens(tokens);
        let id = guest.get("/users/me").await.expect(200).text("id");
        User { id, ..guest }
    }

    /// The accounts of the server.
    pub fn accounts(&self) -> &polls::auth::Accounts {
        &self.accounts
    }

    /// Another session of the same user.
    pub async fn another_session(&self, user: &User) -> User {
        self.sign_in(user.id.clone(), &user.name, user.email.clone())
            .await
    }

    /// Requests tokens by password.
    pub async fn token(&self, username: &str, password: &str) -> Answer {
        let form = [
            ("grant_type", "password"),
            ("username", username),
            ("password", password),
        ];
        self.form("/auth/token", &form).await
    }

    /// Posts a form to the API.
    pub async fn form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        send(self.request(Method::POST, path).form(form)).await
    }

    /// A request to the API without an access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/api/v1{path}", self.address))
    }

    /// A request to any path of the server.
    pub fn outside(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// A request to the API with the user's access token, if there is one.
    pub fn request_by(&self, who: Option<&User>, method: Method, path: &str) -> RequestBuilder {
        match who {
            Some(user) => user.request(method, path),
            None => self.request(method, path),
        }
    }

    /// The database, by connections of the test's own.
    pub async fn database_from_outside(&self) -> Db {
        engine::connect(&self.database_url()).await
    }

    /// The URL of the database.
    pub fn database_url(&self) -> String {
        engine::database_url(self.folder.path())
    }

    /// The same account with tokens of this server.
    pub async fn user_of(&self, user: &User) -> User {
        let User {
            id, name, email, ..
        } = user.clone();
        self.sign_in(id, &name, email).await
    }

    /// The address for TCP connections.
    pub fn socket_address(&self) -> SocketAddr {
        let address = self.address.strip_prefix("http://").expect("a TCP address");
        address.parse().expect("an address")
    }

    /// Stops the server as SIGTERM does, and waits for its end.
    pub async fn shut_down(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("the server ends well");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl User {
    /// The user with this access token, at the server with this address.
    pub fn of_token(id: &str, access_token: &str, client: Client, address: &str) -> User {
        User {
            id: id.to_owned(),
            name: String::new(),
            email: String::new(),
            access_token: access_token.to_owned(),
            refresh_token: String::new(),
            client,
            address: address.to_owned(),
        }
    }

    /// Makes a guest at the server with this address.
    pub async fn guest(client: &Client, address: &str) -> User {
        let tokens = send(client.post(format!("{address}/api/v1/auth/guest"))).await;
        let tokens = tokens.expect(201);
        let id = tokens.header("location").rsplit('/').next();
        let id = id.unwrap_or_default().to_owned();
        User::of_token(&id, "", client.clone(), address).with_tokens(&tokens)
    }

    /// The same user at another server of the same database.
    pub fn at(&self, address: &str) -> User {
        User {
            address: address.to_owned(),
            ..self.clone()
        }
    }

    /// The same user with the tokens of an answer.
    pub fn with_tokens(&self, answer: &Answer) -> User {
        User {
            access_token: answer.text("access_token"),
            refresh_token: answer.text("refresh_token"),
            ..self.clone()
        }
    }

    /// A request to the API with this user's access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/api/v1{path}", self.address))
            .bearer_auth(&self.access_token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PATCH, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Deletes the account.
    pub async fn delete_account(&self) -> Answer {
        let body = json!({"current_password": PASSWORD});
        self.post("/users/me/deletion", body).await
    }

    /// Asks a question with these choices; `more` adds fields or replaces them.
    pub async fn ask(&self, choices: &[&str], more: Value) -> Question {
        let choices: Vec<Value> = choices
            .iter()
            .map(|text| json!({"choice_text": text}))
            .collect();
        let mut body = json!({"question_text": "Which one?", "choices": choices});
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let question = self.post("/questions", body).await.expect(201);
        Question::of(&question.json)
    }

    /// Casts a ballot for the choices with these indices.
    pub async fn vote(&self, question: &Question, choices: &[usize]) -> Answer {
        send(self.ballot(question, choices)).await
    }

    /// The request that casts a ballot for the choices with these indices.
    pub fn ballot(&self, question: &Question, choices: &[usize]) -> RequestBuilder {
        let ids: Vec<&String> = choices
            .iter()
            .map(|index| &question.choices[*index])
            .collect();
        self.request(Method::PUT, &format!("{}/ballot", question.path))
            .json(&json!({"choice_ids": ids}))
    }
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    pub id: String,
    /// Such as `/questions/0196…`.
    pub path: String,
    /// The choices' ids in their order.
    pub choices: Vec<String>,
}

impl Question {
    /// A path below the question's own, such as `results`.
    pub fn under(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    /// The question in a JSON body.
    pub fn of(json: &Value) -> Question {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&json["id"]);
        let choices = json["choices"].as_array().cloned().unwrap_or_default();
        Question {
            path: format!("/questions/{id}"),
            id,
            choices: choices.iter().map(|choice| text(&choice["id"])).collect(),
        }
    }
}

/// Sends a request and reads the answer.
pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request)
        .await
        .unwrap_or_else(|error| panic!("no answer: {error:?}"))
}

/// Sends a request to a server that may die before it has answered.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let (client, request) = request.build_split();
    let request = request?;
    let call = (request.method().clone(), request.url().path().to_owned());
    Answer::read(call, client.execute(request).await?).await
}

/// An HTTP client that follows no redirects and uses no proxy.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("a client")
}
