//! Mail: messages that wait in a table, and the mail server that takes them.
//!
//! A message is queued in the transaction that causes it, so that no request waits for the mail
//! server. Each process looks for messages that are due; one process at a time sends a message
//! ([`delivery`]). Codes and tokens are made when a message is sent, by whoever knows what they are
//! for: no table, and no backup, ever has one.

pub mod api;
mod delivery;
pub mod entity;
mod letter;
mod server;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::{self, Db, Transaction};
use crate::failure::{Code, Failure};
use crate::language::Language;
use crate::page::{Cursor, Page, PageRequest};

use entity::{Column, Entity, Model};
use server::Server;

pub use entity::{Kind, Status};
pub use letter::{Content, Letter};
pub use server::OpenError;

/// For how long messages that are done are shown to admins.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The messages. Clones share everything.
#[derive(Clone)]
pub struct Mail {
    db: Db,
    clock: Clock,
    /// None where no mail is configured.
    server: Option<Arc<Server>>,
    /// Tells the deliverer of this process that there is something to send.
    queued: Arc<Notify>,
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

    /// Whether messages can be sent.
    pub fn is_configured(&self) -> bool {
        self.server.is_some()
    }

    /// [`Code::MailNotConfigured`] where messages cannot be sent.
    pub fn require(&self) -> Result<(), Failure> {
        if self.is_configured() {
            return Ok(());
        }
        let detail = "This server sends no mail. Ask its operator.";
        Err(Failure::new(Code::MailNotConfigured, detail))
    }

    /// Queues a message that is of use for `lifetime`. [`Mail::announce`] must be called once the
    /// transaction has committed.
    pub async fn queue(
        &self,
        transaction: &Transaction,
        kind: Kind,
        recipient: &str,
        language: Language,
        lifetime: Duration,
    ) -> Result<(), Failure> {
        let now = db::moment(transaction, &self.clock).await?;
        let message = Model {
            id: now.new_id(),
            kind,
            recipient: recipient.to_owned(),
            language,
            status: Status::Queued,
            attempts: 0,
            due_at: Some(now),
            error: None,
            created_at: now,
            expires_at: now.after(lifetime),
        };
        let insert = Entity::insert(message.into_active_model());
        insert.exec_without_returning(transaction).await?;
        Ok(())
    }

    /// Has queued messages sent at once rather than at the next look.
    pub fn announce(&self) {
        self.queued.notify_one();
    }

    /// A page of the messages of the last 30 days, newest first.
    pub async fn list(
        &self,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<Model>, Failure> {
        let mut messages = Entity::find();
        if let Some(status) = status {
            messages = messages.filter(Column::Status.eq(status));
        }
        let columns = (Column::CreatedAt, Column::Id);
        let cursor = |message: &Model| Cursor {
            key: message.created_at.0,
            id: message.id,
        };
        let page = page.newest_first(self.db.read(), messages, columns, cursor);
        Ok(page.await?)
    }

    /// Removes messages that admins need not see any more.
    async fn sweep(&self, now: Time) -> Result<(), Failure> {
        let old = Condition::all().add(Column::CreatedAt.lte(now.before(KEPT)));
        db::sweep::<Entity, Uuid>(&self.db, Column::Id, old).await
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
