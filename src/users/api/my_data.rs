//! Everything that is kept about the caller.

use poem_openapi::registry::{MetaMediaType, Registry};
use poem_openapi::types::{Example, Type as _};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use uuid::Uuid;

use super::objects::Account;
use crate::auth::accounts::code::{self, Purpose};
use crate::auth::accounts::known_network;
use crate::auth::guard::Voter;
use crate::auth::tokens::session;
use crate::auth::{Accounts, Tokens};
use crate::ballots::mine::{Mine, Which};
use crate::ballots::{Ballot, Ballots};
use crate::clock::{Clock, Time};
use crate::db::Db;
use crate::downloads::{Content, Downloads, Pieces};
use crate::failure::{Code, Failure};
use crate::http::attachment::{Attachment, Files};
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::spec::Tag;
use crate::invitations::{entity as invitation, kept};
use crate::mail::{self, Mail};
use crate::network::Network;
use crate::page::{Cursor, PageRequest};
use crate::questions::{Questions, usage};
use crate::results::Views;
use crate::results::objects::Question;

/// The handlers of what is kept about the caller.
#[derive(Clone)]
pub struct MyDataApi {
    pub db: Db,
    pub accounts: Accounts,
    pub tokens: Tokens,
    pub mail: Mail,
    pub questions: Questions,
    pub ballots: Ballots,
    pub views: Views,
    pub clock: Clock,
    pub downloads: Downloads,
}

operations! {
    ExportMe: Unauthenticated;
}

#[OpenApi]
impl MyDataApi {
    /// Get everything that is kept about me
    ///
    /// One document: the account, its sessions, questions, ballots and messages. Left out are secrets
    /// (passwords, tokens and codes are stored as hashes only) and counters by hashes of network
    /// addresses, which name nobody. Messages are shown only if the email address is verified: otherwise
    /// it may be somebody else's.
    #[oai(path = "/users/me/export", method = "get", operation_id = "exportMe", tag = Tag::Users)]
    async fn export_me(
        &self,
        network: Network,
        voter: Voter,
    ) -> Result<Attachment<MyDataFile>, Refused<ExportMe>> {
        let writing = Writing {
            api: self.clone(),
            user: voter.0.caller.id,
        };
        let download = self.downloads.begin(network, writing).await?;
        Ok(Attachment::new(JSON, "polls account", "json", download))
    }
}

const JSON: &str = "application/json";

/// The file with everything that is kept about somebody.
pub struct MyDataFile;

impl Files for MyDataFile {
    fn content() -> Vec<MetaMediaType> {
        vec![MetaMediaType {
            content_type: JSON,
            schema: MyData::schema_ref(),
        }]
    }

    fn register(registry: &mut Registry) {
        MyData::register(registry);
    }
}

/// Everything that is kept about you.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct MyData {
    /// When this was written.
    exported_at: Time,
    account: Account,
    /// When you are removed unless you are active before; only for guests.
    guest_expires_at: Option<Time>,
    /// How much you have asked. Absent if nothing was counted.
    usage: Option<MyUsage>,
    /// Codes that were sent to you by mail and are still valid.
    codes: Vec<MyCode>,
    /// Messages to your email address, those that wait and those of the last 30 days. Empty unless the
    /// address is verified.
    mail: Vec<MyMessage>,
    /// Where you are signed in, and where you were until lately.
    sessions: Vec<MySession>,
    /// The networks from which you have signed in within the last 30 days.
    known_networks: Vec<MyNetwork>,
    /// The questions that you have asked, deleted ones too, without numbers.
    questions: Vec<Question>,
    /// Your ballots.
    ballots: Vec<MyVote>,
    /// The invitations that you have made.
    invitations: Vec<MyInvitation>,
    /// The invitation by which you vote, if you are a guest who was invited.
    used_invitation: Option<MyInvitation>,
}

/// How much an account has asked.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataUsage")]
struct MyUsage {
    /// A day (UTC), as the number of days since 1970.
    day: i32,
    /// How many questions were asked on that day.
    questions: i32,
    /// How many invitations were sent by mail on that day.
    invitation_mails: i32,
    /// How many bytes of text the account's questions, choices and invitations have.
    bytes: i64,
}

/// A code that was sent by mail. Only its hash is stored.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataCode")]
struct MyCode {
    /// `password_reset` or `email_verification`.
    purpose: String,
    /// Until when it is valid.
    expires_at: Time,
}

/// Where an account is or was signed in.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataSession", skip_serializing_if_is_none)]
struct MySession {
    /// The session's id.
    id: Uuid,
    /// What the client called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// When it began.
    created_at: Time,
    /// When it last got new tokens.
    last_used_at: Time,
    /// When it ends unless it is used before.
    expires_at: Time,
    /// When it was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
}

/// A network that an account has signed in from. Its address is not stored, only a hash with a key,
/// which tells whether an address is the same.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataNetwork")]
struct MyNetwork {
    /// The hash, in hexadecimal digits.
    hash: String,
    /// When the account signed in from there, at most a day before it last did.
    seen_at: Time,
}

/// A message to the account's email address.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataMessage", skip_serializing_if_is_none)]
struct MyMessage {
    /// The message's id.
    id: Uuid,
    kind: mail::Kind,
    /// What it is about, where that is not said by its kind: an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<Uuid>,
    /// The email address that it is for.
    recipient: String,
    status: mail::Status,
    /// How often it was tried to send it.
    attempts: i32,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was queued.
    created_at: Time,
    /// When it is of no use any more.
    expires_at: Time,
}

/// An invitation to vote. Its code is stored as a hash only.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataInvitation", skip_serializing_if_is_none)]
struct MyInvitation {
    /// The invitation's id.
    id: Uuid,
    /// The question that it is for.
    question_id: Uuid,
    /// For whom it is, in the words of whoever invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The email address that it was sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// When it was made.
    created_at: Time,
}

/// A ballot, with the question's text unless the question was deleted.
#[derive(Object, Serialize)]
#[oai(rename = "MyDataBallot", skip_serializing_if_is_none)]
struct MyVote {
    #[oai(flatten)]
    #[serde(flatten)]
    ballot: Ballot,
    /// What people were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    question_text: Option<String>,
}

impl MyVote {
    fn of(Mine { ballot, question }: Mine, user: Uuid) -> MyVote {
        let is_shown = question.deleted_at.is_none() || question.author_id == user;
        MyVote {
            ballot,
            question_text: is_shown.then_some(question.question_text),
        }
    }
}

/// What one export writes.
struct Writing {
    api: MyDataApi,
    user: Uuid,
}

/// How many rows are read at once.
const ROWS: u32 = 100;

impl Content for Writing {
    async fn write(self, pieces: &mut Pieces) -> Result<(), Failure> {
        let Writing { api, user } = &self;
        let (user, now) = (*user, api.clock.now());
        let mut document = Document::new(pieces);

        let turn = document.pieces.turn().await?;
        let account = api.accounts.get(user).await.map_err(gone)?;
        let usage = api.questions.usage(user).await?;
        let codes = api.accounts.codes(user).await?;
        let mail = match &account.email {
            // Anybody can register with an address that is not theirs.
            Some(email) if account.is_verified() => api.mail.to(email).await?,
            _ => Vec::new(),
        };
        drop(turn);
        document.member("exported_at", &now).await?;
        let guest_expires_at = account.guest_expires_at;
        document.member("account", &Account::of(account)).await?;
        if let Some(expires_at) = guest_expires_at {
            document.member("guest_expires_at", &expires_at).await?;
        }
        if let Some(usage) = usage {
            document.member("usage", &MyUsage::of(usage)).await?;
        }
        let codes: Vec<MyCode> = codes.into_iter().map(MyCode::of).collect();
        document.member("codes", &codes).await?;
        let mail: Vec<MyMessage> = mail.into_iter().map(MyMessage::of).collect();
        document.member("mail", &mail).await?;
        let sessions = |after| async move {
            let page = api.tokens.all_sessions(user, request(after)).await?;
            Ok((page.items, page.next))
        };
        document.list("sessions", sessions, MySession::of).await?;
        let networks = |after| api.accounts.known_networks(user, after);
        document
            .list("known_networks", networks, MyNetwork::of)
            .await?;
        let questions = |after| async move {
            let page = api.views.asked_by(user, request(after)).await?;
            Ok((page.items, page.next))
        };
        let question = |poll| Question::of(&poll, false, now);
        document.list("questions", questions, question).await?;
        let ballots = |after| async move {
            let page = api
                .ballots
                .of_user(user, Which::All, request(after))
                .await?;
            Ok((page.items, page.next))
        };
        let ballot = |mine| MyVote::of(mine, user);
        document.list("ballots", ballots, ballot).await?;
        let invitations = |after| async move {
            let page = kept::made_by(api.db.read(), user, request(after)).await?;
            Ok((page.items, page.next))
        };
        document
            .list("invitations", invitations, MyInvitation::of)
            .await?;
        if let Some(used) = kept::used_by(api.db.read(), user).await? {
            let used = MyInvitation::of(used);
            document.member("used_invitation", &used).await?;
        }
        document.end().await;
        Ok(())
    }
}

fn request(after: Option<Cursor>) -> PageRequest {
    PageRequest { after, limit: ROWS }
}

/// A JSON object that is written member by member.
struct Document<'a> {
    pieces: &'a mut Pieces,
    is_begun: bool,
}

impl Document<'_> {
    fn new(pieces: &mut Pieces) -> Document<'_> {
        Document {
            pieces,
            is_begun: false,
        }
    }

    async fn name(&mut self, name: &str) {
        let before = match std::mem::replace(&mut self.is_begun, true) {
            true => ",\n",
            false => "{",
        };
        let text = format!("{before}\"{name}\":");
        self.pieces.write(|out| out.extend(text.bytes())).await;
    }

    async fn member(&mut self, name: &str, value: &(impl Serialize + Sync)) -> Result<(), Failure> {
        let json = serde_json::to_vec(value).map_err(Failure::internal)?;
        self.name(name).await;
        self.pieces.write(|out| out.extend(json)).await;
        Ok(())
    }

    /// A list that is read page by page: `read` gets where the page before has ended.
    async fn list<T, C, F, R>(
        &mut self,
        name: &str,
        read: impl Fn(Option<C>) -> F + Send + Sync,
        render: impl Fn(T) -> R + Send + Sync,
    ) -> Result<(), Failure>
    where
        T: Send,
        C: Send,
        F: Future<Output = Result<(Vec<T>, Option<C>), Failure>> + Send,
        R: Serialize,
    {
        self.name(name).await;
        let (mut before, mut after) = ("[", None);
        loop {
            let turn = self.pieces.turn().await?;
            let (items, next) = read(after).await?;
            drop(turn);
            for item in items {
                let json = serde_json::to_vec(&render(item)).map_err(Failure::internal)?;
                let write = |out: &mut Vec<u8>| {
                    out.extend(before.bytes());
                    out.extend(json);
                };
                self.pieces.write(write).await;
                before = ",\n";
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let end = if before == "[" { "[]" } else { "]" };
        self.pieces.write(|out| out.extend(end.bytes())).await;
        Ok(())
    }

    async fn end(self) {
        self.pieces.write(|out| out.extend(b"}\n")).await;
    }
}

/// The token is still valid in memory, but the account was deleted.
fn gone(failure: Failure) -> Failure {
    match failure.code {
        Code::NotFound => Failure::new(Code::Unauthenticated, "The account has been deleted."),
        _ => failure,
    }
}

impl MySession {
    fn of(row: session::Model) -> MySession {
        MySession {
            id: row.id,
            client: row.client,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        }
    }
}

impl MyNetwork {
    fn of(row: known_network::Model) -> MyNetwork {
        let digits = row.network.iter().map(|byte| format!("{byte:02x}"));
        MyNetwork {
            hash: digits.collect(),
            seen_at: row.seen_at,
        }
    }
}

impl MyCode {
    fn of(row: code::Model) -> MyCode {
        let purpose = match row.purpose {
            Purpose::PasswordReset => "password_reset",
            Purpose::EmailVerification => "email_verification",
        };
        MyCode {
            purpose: purpose.to_owned(),
            expires_at: row.expires_at,
        }
    }
}

impl MyMessage {
    fn of(row: mail::Message) -> MyMessage {
        MyMessage {
            id: row.id,
            kind: row.kind,
            about: row.about,
            recipient: row.recipient,
            status: row.status,
            attempts: row.attempts,
            error: row.error,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

impl MyInvitation {
    fn of(row: invitation::Model) -> MyInvitation {
        MyInvitation {
            id: row.id,
            question_id: row.question_id,
            label: row.label,
            email: row.email,
            created_at: row.created_at,
        }
    }
}

impl MyUsage {
    fn of(row: usage::Model) -> MyUsage {
        MyUsage {
            day: row.day,
            questions: row.questions,
            invitation_mails: row.invitation_mails,
            bytes: row.bytes,
        }
    }
}

impl Example for MyData {
    fn example() -> Self {
        let now = Time(1_776_282_436_000_000);
        MyData {
            exported_at: now,
            account: Account::example(),
            guest_expires_at: None,
            usage: Some(MyUsage {
                day: 20_558,
                questions: 1,
                invitation_mails: 20,
                bytes: 64,
            }),
            codes: Vec::new(),
            mail: Vec::new(),
            sessions: vec![MySession {
                id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
                client: Some("Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
                created_at: now,
                last_used_at: now,
                expires_at: Time(1_778_874_436_000_000),
                ended_at: None,
            }],
            known_networks: vec![MyNetwork {
                hash: "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925".to_owned(),
                seen_at: now,
            }],
            questions: vec![Question::example()],
            ballots: Vec::new(),
            invitations: Vec::new(),
            used_invitation: None,
        }
    }
}
