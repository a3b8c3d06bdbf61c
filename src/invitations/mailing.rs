//! Invitations by mail, and refusing them.

use std::time::Duration;

use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, IntoActiveModel as _};

use super::entity::{Entity, Model};
use super::exchange::question_of;
use super::{Invitations, code, letter, refusal};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::language::Language;
use crate::mail::{self, Draft, Kind, Letter, Message};
use crate::questions::Status;
use crate::questions::quota::Use;
use crate::users::{self, Caller, email};

/// For how long it is tried to send an invitation.
const LIFETIME: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The span of `limits.invitation_mails_per_recipient`.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Invitations {
    /// Counts invitations by mail, or refuses them.
    pub(super) async fn admit_mails(
        &self,
        transaction: &Transaction,
        caller: Caller,
        mails: usize,
        now: Time,
    ) -> Result<(), Failure> {
        self.mail.require()?;
        let inviter = users::get(transaction, caller.id).await?;
        if !inviter.is_verified() {
            let detail = "Verify your own email address before you invite by mail.";
            return Err(Failure::new(Code::EmailUnverified, detail));
        }
        let used = Use::of_invitation_mails(mails);
        self.quotas.charge(transaction, caller.id, used, now).await
    }

    /// Queues the messages of invitations.
    pub(super) async fn queue(
        &self,
        transaction: &Transaction,
        invitations: &[&Model],
        language: Language,
    ) -> Result<(), Failure> {
        let recipients: Vec<(&Model, String)> = invitations
            .iter()
            .filter_map(|invitation| Some((*invitation, email::key(invitation.email.as_deref()?))))
            .collect();
        let drafts = recipients.iter().map(|(invitation, recipient)| Draft {
            kind: Kind::Invitation,
            about: Some(invitation.id),
            recipient,
            language,
            lifetime: LIFETIME,
        });
        self.mail.queue_all(transaction, drafts).await
    }

    /// Writes the message of an invitation, with a new code. None where it has lost its purpose, or its
    /// recipient wants no invitations or has got too many.
    pub async fn write_letter(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let message = &message;
        let written = self.db.write(|transaction| async move {
            let invitation = Entity::find_by_id(message.about.unwrap_or_default());
            let invitation = db::lock(&transaction, invitation);
            let invitation = invitation.one(&transaction).await?;
            let unused = invitation.filter(|invitation| invitation.user_id.is_none());
            let Some(invitation) = unused else {
                return Ok(None);
            };
            let question = question_of(&transaction, &invitation).await?;
            let now = self.clock.now();
            let question = question.filter(|question| question.status(now) != Status::Closed);
            let (Some(question), Some(sender)) =
                (question, sender(&transaction, &invitation).await?)
            else {
                return Ok(None);
            };
            if !self.takes_invitations(&transaction, message).await? {
                return Ok(None);
            }
            let code = code::random();
            let row = code::Model {
                code_hash: code::hash(&code),
                invitation_id: invitation.id,
            };
            code::Entity::insert(row.into_active_model())
                .exec_without_returning(&transaction)
                .await?;
            let to = invitation.email.unwrap_or_default();
            let refusal_token = self.accounts.hmac_keys().refusal_token(&message.recipient);
            let letter = letter::invitation(letter::Invitation {
                to,
                language: message.language,
                site: self.mail.site()?,
                sender: &sender,
                question: &question,
                code: &code,
                refusal_token: &refusal_token,
                now,
            });
            Ok(Some(letter))
        });
        written.await
    }

    /// Whether the recipient has neither refused invitations nor got as many within a day as there
    /// may be.
    async fn takes_invitations(
        &self,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<bool, Failure> {
        let recipient = self.accounts.hmac_keys().recipient(&message.recipient);
        let refusal = refusal::Entity::find_by_id(recipient);
        if refusal.one(transaction).await?.is_some() {
            return Ok(false);
        }
        let Some(most) = self.limits.mails_per_recipient else {
            return Ok(true);
        };
        Ok(mail::earlier(transaction, message, DAY).await? < most)
    }

    /// Sends no invitation any more to the address whose owner got `token`.
    /// [`Code::InvalidFields`] where it is not one of this server's.
    pub async fn refuse(&self, token: &str) -> Result<(), Failure> {
        let Some(recipient) = self.accounts.hmac_keys().refused_recipient(token) else {
            let wrong = FieldError::new("/token", Rule::Wrong, "is not a token of an invitation");
            return Err(Failure::invalid(vec![wrong]));
        };
        let recipient = &recipient;
        let refused = self.db.write(|transaction| async move {
            let row = refusal::Model {
                recipient: recipient.clone(),
            };
            let again = OnConflict::column(refusal::Column::Recipient)
                .update_column(refusal::Column::Recipient)
                .to_owned();
            let insert = refusal::Entity::insert(row.into_active_model()).on_conflict(again);
            insert.exec_without_returning(&transaction).await?;
            Ok(())
        });
        refused.await
    }
}

/// The name of the account that invites; none where it is disabled or deleted.
async fn sender(transaction: &Transaction, invitation: &Model) -> Result<Option<String>, Failure> {
    match users::get(transaction, invitation.invited_by).await {
        Ok(inviter) if inviter.is_active() => Ok(inviter.name),
        Ok(_) => Ok(None),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
