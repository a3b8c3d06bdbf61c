//! Changes of an account that its sessions feel, each in one transaction with them.

use uuid::Uuid;

use super::limits::Login;
use super::sessions::{self, Which};
use super::{Authority, SignedIn};
use crate::failure::{Code, Failure, FieldError};
use crate::http::Network;
use crate::http::conditional::IfMatch;
use crate::users::entity::Model;
use crate::users::{self, NewAccount, Role, Standing};

/// What somebody registers with. Text is normalised, the phone number is in E.164, the password
/// is as it was typed.
#[derive(Debug, Clone)]
pub struct Registration {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub password: String,
}

impl Authority {
    /// Registers an account. [`Code::AccountTaken`], [`Code::Forbidden`] where registration is
    /// closed, [`Code::RateLimited`].
    pub async fn register(&self, new: Registration, network: Network) -> Result<Model, Failure> {
        if !self.settings.registration {
            let detail = "Registration is closed. Ask an administrator for an account.";
            return Err(Failure::new(Code::Forbidden, detail));
        }
        self.limits.take_registration(network).await?;
        self.create_account(new, Role::User).await
    }

    /// The hash of a password, for accounts that are made in bulk.
    pub async fn hash(&self, password: String) -> Result<String, Failure> {
        self.hasher.turn().await?.hash(password).await
    }

    /// Makes an account without asking whether anybody may. [`Code::AccountTaken`].
    pub async fn create_account(&self, new: Registration, role: Role) -> Result<Model, Failure> {
        let password_hash = self.hasher.turn().await?.hash(new.password).await?;
        let new = NewAccount {
            name: new.name,
            email: new.email,
            phone: new.phone,
            password_hash,
            role,
        };
        let now = self.clock.now();
        let new = &new;
        let registered = self.db.write(|transaction| async move {
            users::register(&transaction, new.clone(), now).await
        });
        registered.await
    }

    /// Replaces the caller's password and ends every other session. [`Code::InvalidFields`]
    /// where `current` is wrong, [`Code::RateLimited`] where it was too often.
    pub async fn change_password(
        &self,
        of: &SignedIn,
        current: String,
        new: String,
        network: Network,
    ) -> Result<(), Failure> {
        let account = users::get(self.db.read(), of.caller.id).await?;
        let login = Login::Account(account.id);
        self.limits.check_known(&login, network)?;
        let turn = self.hasher.turn().await?;
        self.limits.check_sign_in(&login, network).await?;
        let wrong = async || {
            self.limits.count_failed_sign_in(&login, network).await;
            let wrong = FieldError::new("/current_password", "wrong", "is not the password");
            Failure::invalid(vec![wrong])
        };
        let (verified, turn) = turn.verify(current, account.password_hash.clone()).await?;
        if !verified {
            return Err(wrong().await);
        }
        let new_hash = turn.hash(new).await?;

        let (account, new_hash) = (&account, &new_hash);
        let changed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let locked = users::lock(&transaction, account.id).await?;
            if locked.password_hash != account.password_hash {
                return Ok(None);
            }
            users::set_password_hash(&transaction, account.id, new_hash.clone()).await?;
            let others = Which::AllBut(of.session_id);
            sessions::end(&transaction, account.id, others, now)
                .await
                .map(Some)
        });
        // Without a list, another change came first, and it replaced the password that was given.
        let Some(ended) = changed.await? else {
            return Err(wrong().await);
        };
        self.note_revoked(&ended);
        Ok(())
    }

    /// Replaces a password without asking for the old one, and ends every session.
    pub async fn reset_password(&self, user: Uuid, new: String) -> Result<(), Failure> {
        let hash = &self.hasher.turn().await?.hash(new).await?;
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            users::set_password_hash(&transaction, user, hash.clone()).await?;
            sessions::end(&transaction, user, Which::All, now).await
        });
        self.note_revoked(&ended.await?);
        Ok(())
    }

    /// Changes role or standing. Sessions of who is disabled end; a new role revokes the access
    /// tokens that say the old one. [`Code::LastAdmin`], [`Code::Stale`], [`Code::NotFound`].
    pub async fn set_standing(
        &self,
        user: Uuid,
        change: Standing,
        if_match: &IfMatch,
    ) -> Result<Model, Failure> {
        let changed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let (before, after) =
                users::set_standing(&transaction, user, change, if_match, now).await?;
            let revoked = if !after.is_active() {
                sessions::end(&transaction, user, Which::All, now).await?
            } else if after.role != before.role {
                sessions::revoke_tokens(&transaction, user, now).await?
            } else {
                Vec::new()
            };
            Ok((after, revoked))
        });
        let (account, revoked) = changed.await?;
        self.note_revoked(&revoked);
        Ok(account)
    }

    /// Deletes the caller's account: erases it and ends its sessions. [`Code::LastAdmin`],
    /// [`Code::Stale`].
    pub async fn delete_account(&self, of: &SignedIn, if_match: &IfMatch) -> Result<(), Failure> {
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            users::erase(&transaction, of.caller.id, if_match, now).await?;
            sessions::end(&transaction, of.caller.id, Which::All, now).await
        });
        self.note_revoked(&ended.await?);
        Ok(())
    }
}
