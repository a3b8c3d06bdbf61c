//! Getting back in: password resets by mail, and the verification of email addresses.

use std::time::Duration;

use uuid::Uuid;

use super::code::Purpose;
use super::{Accounts, codes};
use crate::auth::tokens::sessions::Which;
use crate::failure::{Failure, FieldError, Rule};
use crate::language::Language;
use crate::mail::entity::Model as Message;
use crate::mail::{Content, Kind, Letter};
use crate::network::Network;
use crate::users::entity::Model;
use crate::users::policy::{self, Owner};
use crate::users::{self, Login, email};

/// For how long a token for a new password is valid after it was sent.
const RESET_TTL: Duration = Duration::from_secs(30 * 60);

/// The same for a code that verifies an email address.
const VERIFICATION_TTL: Duration = Duration::from_secs(60 * 60);

/// For how long it makes sense to send a message that somebody waits for.
const WAITING: Duration = Duration::from_secs(30 * 60);

impl Accounts {
    /// Has a link for a new password sent to whoever has an account with this address.
    ///
    /// Where there is none the same is done: the message is queued, and dropped when it is due to be
    /// sent. So neither the answer nor its time tells whether there is an account.
    pub async fn request_password_reset(
        &self,
        address: &str,
        language: Language,
        network: Network,
    ) -> Result<(), Failure> {
        let recipient = email::key(address);
        self.queue_mail(Kind::PasswordReset, &recipient, language, network)
            .await
    }

    /// Replaces the password of the account that got `token` by mail, and ends all sessions.
    /// [`Code::InvalidFields`](crate::failure::Code::InvalidFields) where the token is void or the
    /// password is no password for the account.
    pub async fn reset_password_by_mail(
        &self,
        token: &str,
        new: &str,
        network: Network,
    ) -> Result<(), Failure> {
        self.mail.require()?;
        self.limits.take_reset_attempt(network).await?;
        let (now, purpose) = (self.clock.now(), Purpose::PasswordReset);
        let owner = codes::owner(self.db.read(), purpose, token, now).await?;
        let id = owner.ok_or_else(void_token)?;
        let account = users::get(self.db.read(), id).await?;
        if let Some(mistake) = policy::mistake("/new_password", new, Owner::of(&account)) {
            return Err(Failure::invalid(vec![mistake]));
        }
        let turn = self.hasher.turn(network).await?;
        let hash = &turn.hash(new.to_owned()).await?;
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let account = users::lock_active(&transaction, id).await?;
            let account = account.ok_or_else(void_token)?;
            if !codes::redeem(&transaction, id, purpose, token, now).await? {
                return Err(void_token());
            }
            // Whoever has the token reads the address.
            users::set_verified(&transaction, account, now).await?;
            self.replace_password(&transaction, id, hash, Which::All, now)
                .await
        });
        self.tokens.announce(&ended.await?);
        Ok(())
    }

    /// Has a code sent to the account's address that verifies it; nothing where it is verified.
    pub async fn request_verification(
        &self,
        id: Uuid,
        language: Language,
        network: Network,
    ) -> Result<(), Failure> {
        self.mail.require()?;
        let account = self.get(id).await?;
        match account.email_key {
            Some(key) if account.verified_email_key.as_ref() != Some(&key) => {
                self.queue_mail(Kind::EmailVerification, &key, language, network)
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Verifies the account's address by the code that was sent there.
    /// [`Code::InvalidFields`](crate::failure::Code::InvalidFields) where the code is void.
    pub async fn verify_email(&self, id: Uuid, code: &str) -> Result<Model, Failure> {
        self.mail.require()?;
        self.limits.take_verification_attempt(id).await?;
        let (code, purpose) = (&codes::typed(code), Purpose::EmailVerification);
        let verified = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let account = users::lock(&transaction, id).await?;
            if !codes::redeem(&transaction, id, purpose, code, now).await? {
                let message = "is not the newest code, or its time is over";
                let wrong = FieldError::new("/code", Rule::Wrong, message);
                return Err(Failure::invalid(vec![wrong]));
            }
            users::set_verified(&transaction, account, now).await
        });
        verified.await
    }

    /// Completes a message that is about to be sent. None where it has lost its purpose: nobody has
    /// the address, or it is verified already.
    pub async fn write_letter(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let to = message.recipient.as_str();
        let (purpose, content, lifetime) = match message.kind {
            Kind::AddressChanged => {
                let (to, content) = (to.to_owned(), Content::AddressChanged);
                return Ok(Some(Letter { to, content }));
            }
            Kind::PasswordReset => {
                let token = codes::token();
                let content = Content::PasswordReset { token };
                (Purpose::PasswordReset, content, RESET_TTL)
            }
            Kind::EmailVerification => {
                let code = codes::code();
                let content = Content::EmailVerification { code };
                (Purpose::EmailVerification, content, VERIFICATION_TTL)
            }
        };
        let login = Login::Email(to.to_owned());
        let Some(found) = users::by_login(self.db.read(), &login).await? else {
            return Ok(None);
        };
        let (id, secret) = (found.id, content.secret().unwrap_or_default());
        let written = self.db.write(|transaction| async move {
            let account = users::lock_active(&transaction, id).await?;
            // The address may have changed since it was looked up.
            let account = account.filter(|account| account.email_key.as_deref() == Some(to));
            let Some(account) = account else {
                return Ok(None);
            };
            if purpose == Purpose::EmailVerification && account.is_verified() {
                return Ok(None);
            }
            let expires_at = self.clock.now().after(lifetime);
            codes::store(&transaction, id, purpose, secret, expires_at).await?;
            // Not to the address that was typed: another one may have the same key.
            Ok(account.email)
        });
        let to = written.await?;
        Ok(to.map(|to| Letter { to, content }))
    }

    /// Queues a message that somebody asks for.
    async fn queue_mail(
        &self,
        kind: Kind,
        recipient: &str,
        language: Language,
        network: Network,
    ) -> Result<(), Failure> {
        self.mail.require()?;
        self.limits.take_mail(recipient, network).await?;
        let queued = self.db.write(|transaction| async move {
            self.mail
                .queue(&transaction, kind, recipient, language, WAITING)
                .await
        });
        queued.await?;
        self.mail.announce();
        Ok(())
    }
}

fn void_token() -> Failure {
    let message = "is not the newest token, was used, or its time is over";
    Failure::invalid(vec![FieldError::new("/token", Rule::Wrong, message)])
}
