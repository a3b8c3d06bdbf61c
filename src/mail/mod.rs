//! Mail: messages that wait in a table, and the mail server that takes them.
//!
//! A message is queued in the transaction that causes it ([`Mail::queue`]), so that no request waits
//! for the mail server, and no message is lost once the change that causes it is committed. Each
//! process looks for messages that are due, and takes each before it sends it (`delivery.rs`). The
//! row has no text: the feature that queued the message writes the [`Letter`] when it is sent. Codes
//! and tokens are made then, too, and only their hashes are stored: no table, backup or log ever has
//! one.
//!
//! **Each message is sent at least once**, unless it expires first. A process that is killed between
//! sending a message and writing that down, or an answer of the mail server that gets lost, leads to
//! a second copy. It has the same `Message-ID`, and a code or token of its own; the first one is void
//! then.
//!
//! # Recipe: a kind of message
//!
//! For example, an invitation to a question.
//!
//! 1. **Kind.** Add it to [`Kind`], and say in [`Kind::is_awaited`] whether somebody waits for it.
//! 2. **Letter.** In the folder of the feature, write a function that makes the [`Letter`] of a
//!    [`Message`]: subject and paragraphs in each [`Language`], as `src/auth/accounts/letters.rs` does.
//!    It looks up what `about` names, makes the code and stores its hash, and returns none where the
//!    message has lost its purpose (the invitation was taken back). Mail clients get the paragraphs as
//!    plain text and as HTML. What users wrote may stand in any of them, since it is escaped, and in
//!    the subject, since it is encoded; it stands in no other header.
//! 3. **Wiring.** Call that function in `write_letter` in `src/app.rs`.
//! 4. **Queue.** [`Mail::require`] refuses a call that makes no sense without mail. In the
//!    transaction that causes the message, call [`Mail::queue`]; after the commit, [`Mail::announce`].
//!    Limit how many messages one client causes (`src/auth/accounts/limits.rs`).
//! 5. **Page.** Name the kind (`mail_…`) in `src/web/page/texts.js`, in both languages.
//! 6. **Test** in `tests/it/mail.rs`; `Smtp` there is a mail server that records what it gets. Run
//!    `cargo run -- openapi --output openapi/polls.json`.

pub mod api;
pub mod delivery;
pub mod entity;
mod letter;
mod server;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::{self, Db, Transaction};
use crate::failure::{Code, Failure};
use crate::language::Language;
use crate::page::{Cursor, Page, PageRequest};
use crate::periodic::try_every;

use entity::{Column, Entity};
use server::{Attempt, Server};

pub use entity::{Kind, Model as Message, Status};
pub use letter::Letter;
pub use server::OpenError;

/// For how long messages are kept and shown to admins.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often older messages are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// The messages. Clones share everything.
#[derive(Clone)]
pub struct Mail {
    db: Db,
    clock: Clock,
    /// None where no mail is configured.
    server: Option<Arc<Server>>,
    /// Tells this process that there is something to send.
    queued: Arc<watch::Sender<()>>,
}

/// A message to be queued.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    pub kind: Kind,
    /// What the message is about, for whoever writes it.
    pub about: Option<Uuid>,
    /// An email address.
    pub recipient: &'a str,
    pub language: Language,
    /// For how long it is worth sending.
    pub lifetime: Duration,
}

impl Mail {
    /// Prepares the connection to the mail server, if there is one, without connecting yet.
    pub fn open(db: Db, clock: Clock, config: &Config) -> Result<Mail, OpenError> {
        let server = Server::open(config)?;
        Ok(Mail {
            db,
            clock,
            server: server.map(Arc::new),
            queued: Arc::default(),
        })
    }

    /// [`Code::MailNotConfigured`] where messages cannot be sent.
    pub fn require(&self) -> Result<(), Failure> {
        self.server().map(drop)
    }

    /// Whether messages can be sent.
    pub fn is_configured(&self) -> bool {
        self.server.is_some()
    }

    /// The address of the page (`server.public_url`), without a slash at its end. Links in messages
    /// begin with it, whatever host a request names. [`Code::MailNotConfigured`].
    pub fn site(&self) -> Result<&str, Failure> {
        Ok(self.server()?.site())
    }

    fn server(&self) -> Result<&Server, Failure> {
        self.server.as_deref().ok_or_else(|| {
            let detail = "This server sends no mail. Ask its operator.";
            Failure::new(Code::MailNotConfigured, detail)
        })
    }

    /// Queues a message in the transaction that causes it. [`Mail::announce`] must be called once
    /// that has committed.
    pub async fn queue(&self, transaction: &Transaction, draft: &Draft<'_>) -> Result<(), Failure> {
        let now = db::moment(transaction, &self.clock).await?;
        let message = Message {
            id: now.new_id(),
            kind: draft.kind,
            about: draft.about,
            recipient: draft.recipient.to_owned(),
            language: draft.language,
            status: Status::Queued,
            attempts: 0,
            due_at: Some(now),
            error: None,
            created_at: now,
            expires_at: now.after(draft.lifetime),
        };
        let insert = Entity::insert(message.into_active_model());
        insert.exec_without_returning(transaction).await?;
        Ok(())
    }

    /// Has queued messages sent at once rather than at the next look.
    pub fn announce(&self) {
        self.queued.send_replace(());
    }

    /// A page of the messages of the last 30 days, newest first.
    pub async fn list(
        &self,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<Message>, Failure> {
        let mut messages = Entity::find();
        if let Some(status) = status {
            messages = messages.filter(Column::Status.eq(status));
        }
        let columns = (Column::CreatedAt, Column::Id);
        let cursor = |message: &Message| Cursor {
            key: message.created_at.0,
            id: message.id,
        };
        let page = page.newest_first(self.db.read(), messages, columns, cursor);
        Ok(page.await?)
    }

    /// All messages to this address, newest first.
    pub async fn to(&self, recipient: &str) -> Result<Vec<Message>, Failure> {
        let messages = Entity::find()
            .filter(Column::Recipient.eq(recipient))
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id);
        Ok(messages.all(self.db.read()).await?)
    }

    /// Removes messages that are 30 days old, even where no mail is configured any more. Never
    /// returns; to be run beside the server and dropped with it.
    pub async fn maintain(self) {
        let warning = "old mail could not be removed";
        try_every(SWEEP_INTERVAL, warning, || self.sweep(self.clock.now())).await;
    }

    async fn sweep(&self, now: Time) -> Result<(), Failure> {
        let old = Condition::all().add(Column::CreatedAt.lte(now.before(KEPT)));
        db::sweep::<Entity, Uuid>(&self.db, Column::Id, old).await
    }
}

/// Why a test message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("no mail is configured: set mail.url")]
    NotConfigured,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the message was not sent: {0}")]
    NotSent(String),
}

/// Sends a message that says that mail works, without queuing it.
pub async fn send_test(config: &Config, clock: &Clock, to: &str) -> Result<(), TestError> {
    let server = Server::open(config)?.ok_or(TestError::NotConfigured)?;
    let text = format!("The server at {} can send mail.", server.site());
    let letter = Letter::new(to, Language::English, "Mail works").text(text);
    match server.send(clock.now().new_id(), &letter).await {
        Attempt::Accepted => Ok(()),
        Attempt::Unconnected(error) | Attempt::Postponed(error) | Attempt::Refused(error) => {
            Err(TestError::NotSent(error))
        }
    }
}

/// Removes all messages to these addresses.
pub async fn forget(transaction: &Transaction, recipients: &[&str]) -> Result<(), Failure> {
    let to_them = Column::Recipient.is_in(recipients.iter().copied());
    let messages = Entity::delete_many().filter(to_them);
    messages.exec(transaction).await?;
    Ok(())
}

/// Removes the messages that have not been sent: after a backup was restored, they may have been
/// sent since the backup.
pub async fn forget_queued(transaction: &Transaction) -> Result<(), Failure> {
    let queued = Entity::delete_many().filter(Column::DueAt.is_not_null());
    queued.exec(transaction).await?;
    Ok(())
}
