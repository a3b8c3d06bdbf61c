//! Getting back in: password resets by mail, and the verification of email addresses.

use std::time::Duration;

use uuid::Uuid;

use super::code::Purpose;
use super::{Accounts, codes, letters};
use crate::auth::tokens::sessions::Which;
use crate::db;
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::language::Language;
use crate::mail::{Draft, Kind, Letter, Message};
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
        let recipient = &email::key(address);
        let draft = Draft {
            kind: Kind::PasswordReset,
            about: None,
            recipient,
            language,
            lifetime: WAITING,
        };
        self.queue_mail(draft, network).await
    }

    /// Replaces the password of the account that got `token` by mail, ends all sessions, and tells
    /// the owner.
    /// [`Code::InvalidFields`] where the token is void or the
    /// password is no password for the account.
    pub async fn reset_password_by_mail(
        &self,
        token: &str,
        new: &str,
        language: Language,
        network: Network,
    ) -> Result<(), Failure> {
        self.mail.require()?;
        self.limits.take_reset_attempt(network).await?;
        let now = db::moment(self.db.read(), &self.clock).await?;
        let purpose = Purpose::PasswordReset;
        let owner = codes::owner(self.db.read(), purpose, token, now).await?;
        let id = owner.ok_or_else(void_token)?;
        let account = users::get(self.db.read(), id).await.map_err(gone)?;
        if let Some(mistake) = policy::mistake("/new_password", new, Owner::of(&account)) {
            return Err(Failure::invalid(vec![mistake]));
        }
        let turn = self.hasher.turn(network).await?;
        let hash = &turn.hash(new.to_owned()).await?;
        let ended = self.db.write(|transaction| async move {
            let account = users::lock_active(&transaction, id).await?;
            let account = account.ok_or_else(void_token)?;
            let now = db::moment(&transaction, &self.clock).await?;
            if !codes::redeem(&transaction, id, purpose, token, now).await? {
                return Err(void_token());
            }
            let now = self.clock.now();
            // Whoever has the token reads the address, and may sign in from here even while
            // strangers guess the password.
            let account = users::set_verified(&transaction, account, now).await?;
            let kind = Kind::PasswordChanged;
            self.notify(&transaction, &account, kind, language).await?;
            self.note_network(&transaction, id, network, now).await?;
            self.replace_password(&transaction, id, hash, Which::All, now)
                .await
        });
        self.tokens.announce(&ended.await?);
        self.mail.announce();
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
                let draft = Draft {
                    kind: Kind::EmailVerification,
                    about: Some(id),
                    recipient: &key,
                    language,
                    lifetime: WAITING,
                };
                self.queue_mail(draft, network).await
            }
            _ => Ok(()),
        }
    }

    /// Verifies the account's address by the code that was sent there.
    /// [`Code::InvalidFields`] where the code is void.
    pub async fn verify_email(&self, id: Uuid, code: &str) -> Result<Model, Failure> {
        self.mail.require()?;
        self.limits.take_verification_attempt(id).await?;
        let (code, purpose) = (&codes::typed(code), Purpose::EmailVerification);
        let verified = self.db.write(|transaction| async move {
            let account = users::lock(&transaction, id).await?;
            let now = db::moment(&transaction, &self.clock).await?;
            if !codes::redeem(&transaction, id, purpose, code, now).await? {
                let message = "is not the newest code, or its time is over";
                let wrong = FieldError::new("/code", Rule::Wrong, message);
                return Err(Failure::invalid(vec![wrong]));
            }
            users::set_verified(&transaction, account, self.clock.now()).await
        });
        verified.await
    }

    /// Writes a message with a link for a new password. None where nobody has the address.
    pub async fn write_password_reset(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let (token, lifetime) = (codes::token(), RESET_TTL);
        let login = Login::Email(message.recipient.clone());
        let Some(account) = users::by_login(self.db.read(), &login).await? else {
            return Ok(None);
        };
        let purpose = Purpose::PasswordReset;
        let to = self.store_code(account.id, &message, purpose, &token, lifetime);
        let (to, site) = (to.await?, self.mail.site()?);
        let write = |to| letters::password_reset(to, message.language, site, &token, lifetime);
        Ok(to.map(write))
    }

    /// Writes a message with a code that verifies its recipient's address. None where the account
    /// has another address by now, or has verified this one.
    pub async fn write_verification(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let (code, lifetime) = (codes::code(), VERIFICATION_TTL);
        let account = message.about.unwrap_or_default();
        let purpose = Purpose::EmailVerification;
        let to = self.store_code(account, &message, purpose, &code, lifetime);
        let (to, site) = (to.await?, self.mail.site()?);
        let write = |to| letters::email_verification(to, message.language, site, &code, lifetime);
        Ok(to.map(write))
    }

    /// Writes a message to the address that an account had before.
    pub fn write_notice_of_address(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let (to, site) = (message.recipient, self.mail.site()?);
        Ok(Some(letters::address_changed(to, message.language, site)))
    }

    /// Writes a message to the owner of an account that has another password.
    pub fn write_notice_of_password(&self, message: Message) -> Result<Option<Letter>, Failure> {
        let (to, site) = (message.recipient, self.mail.site()?);
        Ok(Some(letters::password_changed(to, message.language, site)))
    }

    /// Stores the code of a message and returns the address to send it to. None where the account is
    /// not active, has another address than the message's recipient, or need not verify it.
    async fn store_code(
        &self,
        account: Uuid,
        message: &Message,
        purpose: Purpose,
        code: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, Failure> {
        let stored = self.db.write(|transaction| async move {
            let account = users::lock_active(&transaction, account).await?;
            let has_address = |it: &Model| it.email_key.as_ref() == Some(&message.recipient);
            let Some(account) = account.filter(has_address) else {
                return Ok(None);
            };
            if purpose == Purpose::EmailVerification && account.is_verified() {
                return Ok(None);
            }
            let now = db::moment(&transaction, &self.clock).await?;
            let expires_at = now.after(lifetime);
            codes::store(&transaction, account.id, purpose, code, expires_at).await?;
            // Not to the address that was typed: another one may have the same key.
            Ok(account.email)
        });
        stored.await
    }

    /// Queues a message that somebody asks for.
    async fn queue_mail(&self, draft: Draft<'_>, network: Network) -> Result<(), Failure> {
        self.mail.require()?;
        self.limits
            .take_mail(draft.kind, draft.recipient, network)
            .await?;
        let draft = &draft;
        let queued = self
            .db
            .write(|transaction| async move { self.mail.queue(&transaction, draft).await });
        queued.await?;
        self.mail.announce();
        Ok(())
    }
}

/// The account was deleted since its token was looked up.
fn gone(failure: Failure) -> Failure {
    match failure.code {
        Code::NotFound => void_token(),
        _ => failure,
    }
}

fn void_token() -> Failure {
    let message = "is not the newest token, was used, or its time is over";
    Failure::invalid(vec![FieldError::new("/token", Rule::Wrong, message)])
}
