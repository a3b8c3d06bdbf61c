//! Prepares a run: signs users in, asks or finds questions, and builds the requests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use http::header::CONTENT_TYPE;

use super::api::{self, Api, Login, User};
use super::ballots::{Ballots, Counted, Paper};
use super::bodies;
use super::mistake::Mistake;
use super::options::{Options, Scenario, read};
use super::plan::{Part, Plan, Requests};
use super::target::{Target, Template};
use crate::progress::Bar;

/// How many calls are made at once.
const AT_ONCE: usize = 16;

/// How many accounts sign in in turn, if their email addresses must be read from the server.
const LOGINS: usize = 1000;

/// Creates what the scenario needs on the server, and builds its requests.
pub async fn prepare(options: &Options, target: &Target) -> Result<Plan, Mistake> {
    let scene = Scene { options, target };
    Ok(match options.scenario {
        Scenario::Get => Plan::of(scene.get()?),
        Scenario::PostFile => Plan::of(scene.post_file()?),
        Scenario::Read => Plan::of(scene.reads("read", "", &scene.to_read().await?)?),
        Scenario::Results => {
            Plan::of(scene.reads("results", "/results", &scene.to_read().await?)?)
        }
        Scenario::List => Plan::of(scene.list()?),
        Scenario::Vote | Scenario::Watch => {
            scene.one_question_to_watch()?;
            let users = scene.users().await?;
            let ballots = scene.ballots(&users, options.revote).await?;
            Plan::of(part("ballots", Requests::Ballots(ballots)))
        }
        Scenario::SignIn if !options.logins.is_empty() => Plan::of(scene.sign_ins(&[]).await?),
        Scenario::SignIn => {
            let users = scene.users().await?;
            Plan::of(scene.sign_ins(&users).await?)
        }
        Scenario::Mixed => {
            let users = scene.users().await?;
            // Ballots are changed once all users have voted, so that the mix stays the same.
            let ballots = scene.ballots(&users, true).await?;
            let questions: Vec<String> = ballots
                .papers
                .iter()
                .map(|paper| paper.id.clone())
                .collect();
            Plan::mixed(vec![
                (scene.reads("read", "", &questions)?, 100),
                (scene.reads("results", "/results", &questions)?, 10),
                (part("ballots", Requests::Ballots(ballots)), 5),
                (scene.sign_ins(&users).await?, 1),
            ])
        }
    })
}

/// The server's current count of each question that was voted on.
pub async fn counted(target: &Target, ballots: &Ballots) -> Result<Vec<Counted>, Mistake> {
    let reader = ballots.voters.first().map(|authorization| User {
        login: None,
        authorization: authorization.clone(),
    });
    let reader = reader.as_ref();
    let ids = ballots.papers.iter().map(|paper| paper.id.as_str());
    let questions = ids.map(|id| async move {
        let question = Api::new(target).question(id, reader).await?;
        question.counted.ok_or_else(|| hidden(id))
    });
    stream::iter(questions)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

fn hidden(id: &str) -> Mistake {
    Mistake::Options(format!(
        "the results of question {id} are hidden, so the count of ballots cannot be checked"
    ))
}

fn part(name: &'static str, requests: Requests) -> Part {
    Part { name, requests }
}

struct Scene<'a> {
    options: &'a Options,
    target: &'a Target,
}

impl Scene<'_> {
    fn get(&self) -> Result<Part, Mistake> {
        let method = self.options.method.clone().unwrap_or(Method::GET);
        let body = self.options.body()?;
        let template = self.target.template(method, self.target.path(), body)?;
        Ok(part("get", Requests::InTurn(vec![template])))
    }

    fn post_file(&self) -> Result<Part, Mistake> {
        // clap requires it in this scenario.
        let path = self.options.file.clone().unwrap_or_default();
        let content = read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let boundary = uuid::Uuid::from_u128(rand::random()).simple().to_string();
        let quoted = |text: &str| text.replace('"', "%22").replace(['\r', '\n'], " ");
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            quoted(&self.options.field),
            quoted(&name)
        )
        .into_bytes();
        body.extend_from_slice(&content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let method = self.options.method.clone().unwrap_or(Method::POST);
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let path = self.target.path();
        let mut template = self.target.template(method, path, Bytes::from(body))?;
        let content_type = content_type.try_into();
        template.headers.insert(
            CONTENT_TYPE,
            content_type.unwrap_or(http::HeaderValue::from_static("multipart/form-data")),
        );
        Ok(part("post-file", Requests::InTurn(vec![template])))
    }

    fn list(&self) -> Result<Part, Mistake> {
        let path = format!("/questions?limit={}", self.options.limit);
        let template = self.template(Method::GET, &path, Bytes::new())?;
        Ok(part("list", Requests::InTurn(vec![template])))
    }

    fn reads(&self, name: &'static str, below: &str, ids: &[String]) -> Result<Part, Mistake> {
        let template = |id| {
            let path = format!("/questions/{id}{below}");
            self.template(Method::GET, &path, Bytes::new())
        };
        let templates: Result<_, _> = ids.iter().map(template).collect();
        Ok(part(name, Requests::InTurn(templates?)))
    }

    async fn sign_ins(&self, users: &[User]) -> Result<Part, Mistake> {
        let lacks = "sign-ins of the users of --tokens need --password";
        let lacks = || Mistake::Options(lacks.to_owned());
        let password = || self.options.password.clone().ok_or_else(lacks);
        let named = self.options.logins.iter().map(|email| {
            let (email, password) = (email.clone(), password()?);
            Ok(Login { email, password })
        });
        let mut logins = named.collect::<Result<Vec<_>, Mistake>>()?;
        if logins.is_empty() {
            let of_users = users.iter().take(LOGINS).map(|user| async move {
                match &user.login {
                    Some(login) => Ok(login.clone()),
                    None => Ok(Login {
                        password: password()?,
                        email: Api::new(self.target).email(user).await?,
                    }),
                }
            });
            let of_users = stream::iter(of_users).buffered(AT_ONCE);
            logins = of_users.try_collect().await?;
        }
        let template = |login| {
            let body = api::sign_in_form(login);
            let mut template = self.template(Method::POST, "/auth/token", body)?;
            template.headers.insert(CONTENT_TYPE, api::FORM);
            Ok(template)
        };
        let templates: Result<_, Mistake> = logins.iter().map(template).collect();
        Ok(part("sign-in", Requests::InTurn(templates?)))
    }

    /// Signed-in users or guests: from a file, or made now.
    async fn users(&self) -> Result<Vec<User>, Mistake> {
        let clients = self.options.senders() as usize;
        let Some(path) = &self.options.tokens else {
            let count = self.options.users.map_or(clients, |count| count as usize);
            enough(count, clients, self.options)?;
            let bar = Bar::new(self.options.json, count as u64, "users signed in");
            // Each lane has a connection of its own.
            let lanes = (0..AT_ONCE.min(count)).map(|lane| {
                let bar = &bar;
                async move {
                    let mut api = Api::new(self.target);
                    let mut users = Vec::new();
                    for _ in (lane..count).step_by(AT_ONCE) {
                        users.push(match self.options.guests {
                            true => api.guest().await?,
                            false => api.register().await?,
                        });
                        bar.advance(1);
                    }
                    Ok::<_, Mistake>(users)
                }
            });
            let users = stream::iter(lanes).buffer_unordered(AT_ONCE);
            return Ok(users.try_collect::<Vec<_>>().await?.concat());
        };
        let file = read(path)?;
        let tokens = String::from_utf8_lossy(&file);
        // The last word of a line: `polls token` prints the user's id before the token.
        let tokens = tokens
            .lines()
            .filter_map(|line| line.split_whitespace().last());
        let user = |token| {
            Ok(User {
                login: None,
                authorization: api::bearer(token)?,
            })
        };
        let users: Vec<User> = tokens.map(user).collect::<Result<_, Mistake>>()?;
        enough(users.len(), clients, self.options)?;
        Ok(users)
    }

    /// The questions to read: those of --question, else the newest.
    async fn to_read(&self) -> Result<Vec<String>, Mistake> {
        if !self.options.question.is_empty() {
            return Ok(self
                .options
                .question
                .iter()
                .map(ToString::to_string)
                .collect());
        }
        let newest = Api::new(self.target)
            .newest(self.options.questions as usize)
            .await?;
        if newest.is_empty() {
            let none = "the server has no questions yet; `polls seed` creates some";
            return Err(Mistake::Options(none.to_owned()));
        }
        Ok(newest)
    }

    /// Refuses options with which watchers could not wait for a number of ballots: there must be
    /// one question, and its number of ballots must only grow.
    fn one_question_to_watch(&self) -> Result<(), Mistake> {
        let Options {
            scenario,
            question,
            questions,
            revote,
            ..
        } = self.options;
        let fits = question.len() <= 1 && *questions == 1 && !revote;
        if fits || *scenario != Scenario::Watch {
            return Ok(());
        }
        let told = "watch needs exactly one question, and does not go with --revote";
        Err(Mistake::Options(told.to_owned()))
    }

    /// The users, and the questions they vote on: those of --question, else new ones.
    async fn ballots(&self, users: &[User], revote: bool) -> Result<Ballots, Mistake> {
        let first = users.first();
        let mut papers = Vec::new();
        if self.options.question.is_empty() {
            let mut api = Api::new(self.target);
            let of_guests = self.options.guests;
            // Guests ask no questions.
            let author = match first {
                Some(_) if of_guests => Some(api.register().await?),
                first => first.cloned(),
            };
            for number in 1..=self.options.questions {
                if let Some(author) = &author {
                    let question = api.ask(author, number, self.options.voting_method, of_guests);
                    papers.push(self.paper(question.await?)?);
                }
            }
        } else {
            let questions = self.options.question.iter().map(|id| async move {
                let mut api = Api::new(self.target);
                api.question(&id.to_string(), first).await
            });
            let questions: Vec<_> = stream::iter(questions)
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            for question in questions {
                papers.push(self.paper(question)?);
            }
        }
        Ok(Ballots {
            papers,
            voters: users
                .iter()
                .map(|user| user.authorization.clone())
                .collect(),
            revote,
            acknowledged: (self.options.scenario == Scenario::Watch).then(Arc::default),
        })
    }

    fn paper(&self, question: api::Question) -> Result<Paper, Mistake> {
        let bodies = bodies::of(&question);
        let path = format!("/questions/{}/ballot", question.id);
        let mut template = self.template(Method::PUT, &path, Bytes::new())?;
        template.headers.insert(CONTENT_TYPE, api::JSON);
        let before = question.counted.ok_or_else(|| hidden(&question.id))?;
        Ok(Paper::new(question.id, template, bodies, before))
    }

    fn template(&self, method: Method, path: &str, body: Bytes) -> Result<Template, Mistake> {
        let base = api::base(self.target.path());
        self.target.template(method, &format!("{base}{path}"), body)
    }
}

/// Checks that there is a user for each client: a user sends one request at a time.
fn enough(users: usize, clients: usize, options: &Options) -> Result<(), Mistake> {
    if users >= clients || options.scenario == Scenario::SignIn && users > 0 {
        return Ok(());
    }
    Err(Mistake::Options(format!(
        "{users} users are too few: each of the {clients} clients needs its own"
    )))
}
