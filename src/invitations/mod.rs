//! Invitations: codes, each of which lets whoever has it vote once on one question.
//!
//! A code is shown once, to whoever invites, or is sent by mail (`mailing.rs`); only its hash is stored.
//! It is exchanged for tokens of a guest (`exchange.rs`), who is made at its first use and stays the
//! same from then on: one code is one ballot, on any number of devices. Whether a user was invited to a
//! question is told by the table of invitations alone ([`invited`]).
//!
//! Who uses an invitation votes, so which invitations were used is shown only where that cannot tell
//! what somebody voted (`shows_use`).

pub mod api;
pub mod code;
pub mod entity;
mod exchange;
pub mod kept;
mod letter;
mod mailing;
pub mod refusal;

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::auth::{Accounts, Tokens};
use crate::clock::{Clock, Time};
use crate::config;
use crate::db::{self, Db, Transaction};
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::language::Language;
use crate::mail::Mail;
use crate::page::{Cursor, Page, PageRequest};
use crate::precondition::IfMatch;
use crate::questions::quota::Use;
use crate::questions::{self, BallotSecrecy, Electorate, Question, Quotas, Status};
use crate::users::{Caller, email};

use entity::{Column, Entity, Model};

/// The most invitations that one call makes.
pub const MAX_AT_ONCE: usize = 1000;

/// The verbs of invitations. Clones share everything.
#[derive(Clone)]
pub struct Invitations {
    db: Db,
    clock: Clock,
    mail: Mail,
    tokens: Tokens,
    accounts: Accounts,
    quotas: Quotas,
    limits: Limits,
}

/// Limits beside the quotas; none where the limits are switched off.
#[derive(Clone, Copy)]
struct Limits {
    /// The most invitations to a question.
    per_question: Option<u64>,
    /// The most messages to an address in a day.
    mails_per_recipient: Option<u64>,
}

/// Who is invited.
#[derive(Debug, Clone, Default)]
pub struct Invitee {
    /// For whom it is, in the words of whoever invites.
    pub label: Option<String>,
    /// The address that the code is sent to; without it, the code is shown to whoever invites.
    pub email: Option<String>,
}

/// An invitation that was made.
#[derive(Debug)]
pub struct Issued {
    pub invitation: Model,
    /// None where it is sent by mail.
    pub code: Option<String>,
}

impl Invitations {
    pub fn new(
        db: Db,
        clock: Clock,
        mail: Mail,
        (tokens, accounts): (Tokens, Accounts),
        quotas: Quotas,
        config: &config::Limits,
    ) -> Invitations {
        let limit = |limit: u32| config.enabled.then_some(u64::from(limit));
        let limits = Limits {
            per_question: limit(config.invitations_per_question),
            mails_per_recipient: limit(config.invitation_mails_per_recipient),
        };
        Invitations {
            db,
            clock,
            mail,
            tokens,
            accounts,
            quotas,
            limits,
        }
    }

    /// Makes an invitation for each of up to [`MAX_AT_ONCE`] invitees, all or nothing.
    ///
    /// [`Code::NotFound`], [`Code::Forbidden`]; [`Code::NoInvitations`] where the question is not for
    /// invited voters, [`Code::VotingClosed`], [`Code::QuotaExceeded`]; by mail
    /// [`Code::MailNotConfigured`], [`Code::EmailUnverified`] where the caller's own address is not
    /// verified, and [`Code::InvalidFields`] where an address is invited already.
    pub async fn invite(
        &self,
        caller: Caller,
        question: Uuid,
        invitees: &[Invitee],
        language: Language,
    ) -> Result<Vec<Issued>, Failure> {
        let issued = self.db.write(|transaction| async move {
            let any = IfMatch::default();
            let question = questions::lock_for_change(&transaction, caller, question, &any).await?;
            let now = self.clock.now();
            self.require_room(&transaction, &question, invitees.len(), now)
                .await?;
            let issued: Vec<Issued> = invitees
                .iter()
                .map(|invitee| Issued::new(caller, &question, invitee, now))
                .collect();
            let used = issued.iter().map(|issued| size(&issued.invitation));
            let used = Use::of_text(used.sum());
            self.quotas
                .charge(&transaction, question.author_id, used, now)
                .await?;
            let by_mail = issued.iter().filter(|issued| issued.code.is_none());
            let by_mail: Vec<&Model> = by_mail.map(|issued| &issued.invitation).collect();
            if by_mail.is_empty() {
                insert(&transaction, &issued).await?;
            } else {
                self.admit_mails(&transaction, caller, by_mail.len(), now)
                    .await?;
                require_new_addresses(&transaction, &question, &issued).await?;
                insert(&transaction, &issued).await?;
                self.queue(&transaction, &by_mail, language).await?;
            }
            Ok(issued)
        });
        let issued = issued.await?;
        self.mail.announce();
        Ok(issued)
    }

    /// Refuses where the question takes no invitations, or not so many more.
    async fn require_room(
        &self,
        transaction: &Transaction,
        question: &Question,
        more: usize,
        now: Time,
    ) -> Result<(), Failure> {
        if question.electorate != Electorate::Invited {
            let detail = "The electorate of this question is not `invited`.";
            return Err(Failure::new(Code::NoInvitations, detail));
        }
        if question.status(now) == Status::Closed {
            return Err(questions::closed(question));
        }
        let Some(most) = self.limits.per_question else {
            return Ok(());
        };
        let invited = Entity::find().filter(Column::QuestionId.eq(question.id));
        let invited = invited.count(transaction).await?;
        if invited.saturating_add(more as u64) <= most {
            return Ok(());
        }
        let detail = format!(
            "A question may have {most} invitations, and this one has {invited}. Take back some \
             that were not used, or have the operator raise limits.invitations_per_question."
        );
        Err(Failure::new(Code::QuotaExceeded, detail))
    }

    /// A page of the invitations to a question, newest first, and whether it may be shown which of them
    /// were used. [`Code::NotFound`], [`Code::Forbidden`].
    pub async fn list(
        &self,
        caller: Caller,
        question: Uuid,
        page: PageRequest,
    ) -> Result<(Page<Model>, bool), Failure> {
        let invitations = Entity::find().filter(Column::QuestionId.eq(question));
        let columns = (Column::CreatedAt, Column::Id);
        let cursor = |invitation: &Model| Cursor {
            key: invitation.created_at.0,
            id: invitation.id,
        };
        let page = page.newest_first(self.db.read(), invitations, columns, cursor);
        let page = page.await?;
        // Read last: what it shows now of invitations was shown of them when they were read, too.
        let question = questions::find_for_change(self.db.read(), caller, question).await?;
        Ok((page, shows_use(&question, self.clock.now())))
    }

    /// Takes back an invitation that was not used. Its codes are void then, and a message that waits is
    /// dropped when it is due. [`Code::NotFound`], [`Code::Forbidden`], [`Code::InvitationFinal`] where
    /// it was used.
    pub async fn take_back(
        &self,
        caller: Caller,
        question: Uuid,
        invitation: Uuid,
    ) -> Result<(), Failure> {
        let taken_back = self.db.write(|transaction| async move {
            let question = questions::find_for_change(&transaction, caller, question).await?;
            let found = Entity::find_by_id(invitation).filter(Column::QuestionId.eq(question.id));
            let found = db::lock(&transaction, found).one(&transaction).await?;
            let found = found.ok_or_else(|| Failure::not_found("invitation"))?;
            let now = self.clock.now();
            if found.user_id.is_some() {
                let detail = "The invitation was used.";
                return Err(Failure::new(Code::InvitationFinal, detail));
            }
            let given_back = Use::of_text(-size(&found));
            self.quotas
                .charge(&transaction, question.author_id, given_back, now)
                .await?;
            // Its codes go with it.
            Entity::delete_by_id(found.id).exec(&transaction).await?;
            Ok(())
        });
        taken_back.await
    }
}

impl Issued {
    fn new(caller: Caller, question: &Question, invitee: &Invitee, now: Time) -> Issued {
        let Invitee { label, email } = invitee.clone();
        Issued {
            code: email.is_none().then(code::random),
            invitation: Model {
                id: now.new_id(),
                question_id: question.id,
                invited_by: caller.id,
                user_id: None,
                email_hash: email.as_deref().map(hash_of_address),
                label,
                email,
                created_at: now,
            },
        }
    }
}

/// What an invitation counts for the text of its question's author: its own, and the rest of its rows,
/// in bytes.
fn size(invitation: &Model) -> i64 {
    const REST: usize = 200;
    let texts = [&invitation.label, &invitation.email];
    let text: usize = texts.into_iter().flatten().map(String::len).sum();
    i64::try_from(REST + text).unwrap_or(i64::MAX)
}

/// The value of the column `email_hash`.
fn hash_of_address(address: &str) -> Vec<u8> {
    Sha256::digest(email::key(address)).to_vec()
}

/// Refuses addresses that were invited to the question already.
async fn require_new_addresses(
    transaction: &Transaction,
    question: &Question,
    issued: &[Issued],
) -> Result<(), Failure> {
    let hashes = issued
        .iter()
        .map(|issued| issued.invitation.email_hash.as_ref());
    let known: Vec<Vec<u8>> = Entity::find()
        .select_only()
        .column(Column::EmailHash)
        .filter(Column::QuestionId.eq(question.id))
        .filter(Column::EmailHash.is_in(hashes.clone().flatten().cloned()))
        .into_tuple()
        .all(transaction)
        .await?;
    let known: HashSet<Vec<u8>> = known.into_iter().collect();
    let repeated = (0..)
        .zip(hashes)
        .filter(|(_, hash)| hash.is_some_and(|hash| known.contains(hash)));
    let errors: Vec<FieldError> = repeated.map(|(index, _)| repeated_address(index)).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid(errors)),
    }
}

/// The mistake of an invitee with an address that is invited already.
fn repeated_address(index: usize) -> FieldError {
    let pointer = format!("/invitations/{index}/email");
    FieldError::new(pointer, Rule::Unique, "must not be invited twice")
}

async fn insert(transaction: &Transaction, issued: &[Issued]) -> Result<(), Failure> {
    let invitations = issued.iter().map(|issued| issued.invitation.clone());
    let invitations = Entity::insert_many(invitations.map(Model::into_active_model));
    let inserted = invitations.exec_without_returning(transaction).await;
    inserted.map_err(|error| match db::is_unique_violation(&error) {
        // Another node of the database has just invited an address. The next attempt finds that.
        true => DbErr::RecordNotUpdated,
        false => error,
    })?;
    let codes = issued.iter().filter_map(|issued| {
        Some(code::Model {
            code_hash: code::hash(issued.code.as_deref()?),
            invitation_id: issued.invitation.id,
        })
    });
    let codes: Vec<_> = codes.map(code::Model::into_active_model).collect();
    if !codes.is_empty() {
        let codes = code::Entity::insert_many(codes);
        codes.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Those of the users who were invited, each with the one question that they were invited to: they may
/// vote on no other.
pub async fn invited(
    connection: &impl ConnectionTrait,
    users: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Uuid>, DbErr> {
    let users = db::ids(users);
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = db::rows(connection, "r", &[db::Column::Id("id")]);
    let among = db::among(connection, "invitations i", "i.user_id", &rows);
    let sql = format!("SELECT i.user_id, i.question_id {among}");
    let statement = db::statement(connection, &sql, [users.to_value()]);
    let rows = connection.query_all_raw(statement).await?;
    let invited = rows
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)));
    invited.collect()
}

/// Whether the author and admins may see which invitations to a question were used.
///
/// Whoever uses an invitation votes soon after. Beside numbers that move, that would tell what they
/// voted. So with `secret` ballots it is shown after the close, unless the question was reopened, since
/// then there are two states to compare; with `public` ones always.
fn shows_use(question: &Question, now: Time) -> bool {
    match question.ballot_secrecy {
        BallotSecrecy::Public => true,
        BallotSecrecy::Secret => question.status(now) == Status::Closed && !question.reopened,
    }
}
