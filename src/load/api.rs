//! The calls to polls that prepare a round and check it afterwards.

use std::error::Error;
use std::io;

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::ballots::Counted;
use super::bodies;
use super::mistake::Mistake;
use super::target::{Connection, Target};
use crate::tally::Method as VotingMethod;

/// An account that is signed in.
#[derive(Debug, Clone)]
pub struct User {
    pub login: Option<Login>,
    pub authorization: HeaderValue,
}

/// An email address and a password.
#[derive(Debug, Clone)]
pub struct Login {
    pub email: String,
    pub password: String,
}

/// A question with its results.
#[derive(Debug)]
pub struct Question {
    pub id: String,
    pub choices: Vec<String>,
    pub method: VotingMethod,
    pub min_choices: usize,
    pub max_choices: usize,
    /// The highest score, if ballots are scored.
    pub max_score: i64,
    pub counted: Option<Counted>,
}

/// A connection to the API of polls.
pub struct Api {
    target: Target,
    /// The path under which the API is.
    base: String,
    connection: Option<Connection>,
}

/// The path under which the API of the server at this path is.
pub fn base(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    format!("{}/api/v1", path.strip_suffix("/api/v1").unwrap_or(path))
}

/// The form of a sign-in with a password.
pub fn sign_in_form(login: &Login) -> Bytes {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "password")
        .append_pair("username", &login.email)
        .append_pair("password", &login.password);
    Bytes::from(form.finish())
}

pub const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Api {
    pub fn new(target: &Target) -> Api {
        Api {
            base: base(target.path()),
            target: target.plain(),
            connection: None,
        }
    }

    /// Registers a new account and signs it in.
    pub async fn register(&mut self) -> Result<User, Mistake> {
        // Random, so that no earlier run has taken it.
        let name = uuid::Uuid::from_u128(rand::random()).simple().to_string();
        let login = Login {
            email: format!("load-{name}@example.org"),
            password: name,
        };
        let account = json!({
            "name": "Load", "email": login.email, "password": login.password,
        });
        self.post("/users", None, JSON, account.to_string().into())
            .await?;
        let tokens = self
            .post("/auth/token", None, FORM, sign_in_form(&login))
            .await?;
        let token = text(&tokens, "access_token", "POST /auth/token")?;
        Ok(User {
            authorization: bearer(&token)?,
            login: Some(login),
        })
    }

    /// Makes a guest.
    pub async fn guest(&mut self) -> Result<User, Mistake> {
        let call = "/auth/guest";
        let tokens = self.post(call, None, JSON, Bytes::from("{}")).await?;
        let token = text(&tokens, "access_token", "POST /auth/guest")?;
        Ok(User {
            authorization: bearer(&token)?,
            login: None,
        })
    }

    /// The email address of an account.
    pub async fn email(&mut self, user: &User) -> Result<String, Mistake> {
        let account = self.get("/users/me", Some(user)).await?;
        text(&account, "email", "GET /users/me")
    }

    /// Asks a question with four choices; with five, if ballots do more than choose one.
    pub async fn ask(
        &mut self,
        author: &User,
        number: u32,
        method: Option<VotingMethod>,
        of_guests: bool,
    ) -> Result<Question, Mistake> {
        let choices = 1..=if method.is_some() { 5 } else { 4 };
        let choices = choices.map(|choice| json!({"choice_text": format!("Choice {choice}")}));
        let choices: Vec<Value> = choices.collect();
        let mut body = json!({"question_text": format!("Load test {number}"), "choices": choices});
        // Left out for servers that know only one.
        if let Some(method) = method {
            body["method"] = json!(method);
        }
        if of_guests {
            body["electorate"] = json!("anyone");
        }
        let answer = self
            .post("/questions", Some(author), JSON, body.to_string().into())
            .await?;
        question(&answer, "POST /questions")
    }

    /// A question as the reader sees it.
    pub async fn question(&mut self, id: &str, reader: Option<&User>) -> Result<Question, Mistake> {
        let answer = self.get(&format!("/questions/{id}"), reader).await?;
        question(&answer, "GET /questions/{id}")
    }

    /// The ids of the newest questions.
    pub async fn newest(&mut self, count: usize) -> Result<Vec<String>, Mistake> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        while ids.len() < count {
            let limit = (count - ids.len()).min(100);
            let path = format!("/questions?limit={limit}{cursor}");
            let page = self.get(&path, None).await?;
            for question in page["data"].as_array().into_iter().flatten() {
                ids.push(text(question, "id", "GET /questions")?);
            }
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        ids.truncate(count);
        Ok(ids)
    }

    async fn get(&mut self, path: &str, user: Option<&User>) -> Result<Value, Mistake> {
        self.call(Method::GET, path, user, None).await
    }

    async fn post(
        &mut self,
        path: &str,
        user: Option<&User>,
        content_type: HeaderValue,
        body: Bytes,
    ) -> Result<Value, Mistake> {
        self.call(Method::POST, path, user, Some((content_type, body)))
            .await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        user: Option<&User>,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Value, Mistake> {
        let call = format!("{method} {path}");
        let (content_type, body) = body.unzip();
        let path = format!("{}{path}", self.base);
        let mut template = self
            .target
            .template(method, &path, body.unwrap_or_default())?;
        if let Some(user) = user {
            let authorization = user.authorization.clone();
            template.headers.insert(AUTHORIZATION, authorization);
        }
        if let Some(content_type) = content_type {
            template.headers.insert(CONTENT_TYPE, content_type);
        }
        let outcome = self.exchange(template.request()).await;
        let (status, body) = outcome.map_err(|source| Mistake::NoAnswer {
            call: call.clone(),
            source,
        })?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let mut detail = reason(&answer).unwrap_or("no reason given").to_owned();
        if status == StatusCode::TOO_MANY_REQUESTS {
            detail.push_str(
                "\nStart the server with --set limits.enabled=false for a load test. Or make the \
                 users beforehand (polls seed --users N) and name a file of their tokens with \
                 --tokens (polls token --all > FILE).",
            );
        }
        Err(Mistake::Refused {
            call,
            status,
            detail,
        })
    }

    async fn exchange(
        &mut self,
        request: http::Request<http_body_util::Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
        let mut request = request;
        let response = loop {
            let (connection, fresh) = match &mut self.connection {
                Some(connection) => (connection, false),
                none => (none.insert(self.target.connect().await?), true),
            };
            match connection.send(request).await {
                Ok(response) => break response,
                Err(lost) => {
                    self.connection = None;
                    match lost.unsent {
                        // A server may close an idle connection.
                        Some(unsent) if !fresh => request = unsent,
                        _ => return Err(lost.error.into()),
                    }
                }
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    }
}

/// The reason for a refusal, from the answer's JSON.
pub fn reason(answer: &Value) -> Option<&str> {
    ["detail", "error_description"]
        .iter()
        .find_map(|key| answer[key].as_str())
}

/// The value of the `Authorization` header.
pub fn bearer(token: &str) -> Result<HeaderValue, Mistake> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    value.map_err(|_| {
        Mistake::Options("a token has characters that are not allowed in a header".to_owned())
    })
}

fn question(json: &Value, call: &str) -> Result<Question, Mistake> {
    let unexpected = || Mistake::Unexpected {
        call: call.to_owned(),
    };
    let choices = json["choices"].as_array().ok_or_else(unexpected)?;
    let ids = choices.iter().map(|choice| text(choice, "id", call));
    let votes: Option<Vec<i64>> = choices
        .iter()
        .map(|choice| choice["votes"].as_i64())
        .collect();
    let size = |field: &str| json[field].as_u64().unwrap_or(1) as usize;
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() {
        return Err(unexpected());
    }
    Ok(Question {
        id: text(json, "id", call)?,
        method: bodies::method(json).ok_or_else(unexpected)?,
        min_choices: size("min_choices").clamp(1, ids.len()),
        max_choices: size("max_choices").clamp(1, ids.len()),
        max_score: json["max_score"].as_i64().unwrap_or(1),
        choices: ids,
        counted: json["ballot_count"]
            .as_i64()
            .zip(votes)
            .map(|(ballots, votes)| Counted { ballots, votes }),
    })
}

fn text(json: &Value, key: &str, call: &str) -> Result<String, Mistake> {
    let text = json[key].as_str().map(str::to_owned);
    text.ok_or_else(|| Mistake::Unexpected {
        call: call.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_found_from_any_of_its_addresses() {
        for path in ["", "/", "/api/v1", "/api/v1/", "/?x=1"] {
            assert_eq!(base(path), "/api/v1", "{path}");
        }
        assert_eq!(base("/polls/"), "/polls/api/v1");
    }
}
