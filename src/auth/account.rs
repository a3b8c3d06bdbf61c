//! Changes of an account that its sessions feel, each in one transaction with them.

use uuid::Uuid;

use super::sessions::Which;
use super::{Authority, SignedIn, known_networks};
use crate::failure::{Code, Failure, FieldError, RateLimit};
use crate::network::Network;
use crate::precondition::IfMatch;
use crate::users::entity::Model;
use crate::users::password::Verdict;
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
        self.make_account(new, Role::User, network).await
    }

    /// What is left of the limit on registrations from a network; none where there are no limits.
    pub fn registration_limit(&self, network: Network) -> Option<RateLimit> {
        self.limits.registration_state(network)
    }

    /// The hash of a password, for accounts that are made in bulk.
    pub async fn hash(&self, password: String) -> Result<String, Failure> {
        let turn = self.hasher.turn(Network::of(None)).await?;
        turn.hash(password).await
    }

    /// Makes an account without asking whether anybody may. [`Code::AccountTaken`].
    pub async fn create_account(&self, new: Registration, role: Role) -> Result<Model, Failure> {
        self.make_account(new, role, Network::of(None)).await
    }

    async fn make_account(
        &self,
        new: Registration,
        role: Role,
        network: Network,
    ) -> Result<Model, Failure> {
        let turn = self.hasher.turn(network).await?;
        let password_hash = turn.hash(new.password).await?;
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
    /// where `current` is wrong, [`Code::RateLimited`] where that was tried too often.
    pub async fn change_password(
        &self,
        of: &SignedIn,
        current: String,
        new: String,
        network: Network,
    ) -> Result<(), Failure> {
        self.limits.take_password_change(of.caller.id).await?;
        // Again where the hash was replaced meanwhile: a sign-in may have brought it up to date.
        for _ in 0..2 {
            let changed = self.try_change_password(of, &current, &new, network);
            if changed.await? {
                return Ok(());
            }
        }
        Err(wrong_password())
    }

    /// Whether it was done. It was not where the stored hash was replaced meanwhile.
    async fn try_change_password(
        &self,
        of: &SignedIn,
        current: &str,
        new: &str,
        network: Network,
    ) -> Result<bool, Failure> {
        let account = users::get(self.db.read(), of.caller.id).await?;
        let turn = self.hasher.turn(network).await?;
        let hash = account.password_hash.clone();
        let (verdict, turn) = turn.verify(current.to_owned(), hash).await?;
        if verdict == Verdict::Wrong {
            return Err(wrong_password());
        }
        let new_hash = turn.hash(new.to_owned()).await?;

        let (account, new_hash) = (&account, &new_hash);
        let changed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let locked = users::lock(&transaction, account.id).await?;
            if locked.password_hash != account.password_hash {
                return Ok(None);
            }
            users::set_password_hash(&transaction, account.id, new_hash.clone()).await?;
            let others = Which::AllBut(of.session_id);
            self.end(&transaction, account.id, others, now)
                .await
                .map(Some)
        });
        let Some(ended) = changed.await? else {
            return Ok(false);
        };
        self.note_revoked(&ended);
        Ok(true)
    }

    /// Replaces a password without asking for the old one, and ends every session.
    pub async fn reset_password(&self, user: Uuid, new: String) -> Result<(), Failure> {
        let hash = &self.hash(new).await?;
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            users::set_password_hash(&transaction, user, hash.clone()).await?;
            self.end(&transaction, user, Which::All, now).await
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
                self.end(&transaction, user, Which::All, now).await?
            } else if after.role != before.role {
                self.revoke_tokens(&transaction, user, now).await?
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
            known_networks::forget(&transaction, of.caller.id).await?;
            self.end(&transaction, of.caller.id, Which::All, now).await
        });
        self.note_revoked(&ended.await?);
        Ok(())
    }
}

fn wrong_password() -> Failure {
    let wrong = FieldError::new("/current_password", "wrong", "is not the password");
    Failure::invalid(vec![wrong])
}
