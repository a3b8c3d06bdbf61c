//! Accounts: what changes them, each change in one transaction with what it does to their sessions.

mod known_networks;
mod limits;
mod sign_in;

pub mod known_network;

use std::sync::Arc;

use phonenumber::country;
use uuid::Uuid;

use super::hmac_keys::HmacKeys;
use super::tokens::sessions::Which;
use super::{SWEEP_INTERVAL, SignedIn, Tokens, repeat};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::failure::{Code, Failure, FieldError, RateLimit, Rule};
use crate::network::Network;
use crate::page::{Page, PageRequest};
use crate::precondition::IfMatch;
use crate::share::Share;
use crate::users::entity::Model;
use crate::users::password::{Hasher, PasswordCheck};
use crate::users::policy::{self, Owner};
use crate::users::{self, AccountPatch, Login, Registration, Role, UserPatch};

use limits::Limits;

/// Registers, changes and deletes accounts, and checks their passwords. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    clock: Clock,
    tokens: Tokens,
    hasher: Hasher,
    limits: Arc<Limits>,
    hmac_keys: Arc<HmacKeys>,
    region: country::Id,
    open_for_registration: bool,
}

impl Accounts {
    pub(super) fn new(
        db: Db,
        clock: Clock,
        share: Share,
        tokens: Tokens,
        hmac_keys: Arc<HmacKeys>,
        hasher: Hasher,
        config: &Config,
    ) -> Accounts {
        Accounts {
            limits: Arc::new(Limits::new(&config.limits, share)),
            region: config.accounts.default_region,
            open_for_registration: config.accounts.registration,
            db,
            clock,
            tokens,
            hasher,
            hmac_keys,
        }
    }

    /// Removes networks that are not known any more. Never returns; to be run beside the server
    /// and dropped with it.
    pub async fn maintain(self) {
        repeat(SWEEP_INTERVAL, || self.sweep()).await;
    }

    async fn sweep(&self) -> Result<(), Failure> {
        self.sweep_networks(self.clock.now()).await
    }

    /// The region whose phone numbers are understood in national form.
    pub fn region(&self) -> country::Id {
        self.region
    }

    /// An account, unless it is deleted: [`Code::NotFound`].
    pub async fn get(&self, id: Uuid) -> Result<Model, Failure> {
        users::get(self.db.read(), id).await
    }

    /// The account that signs in by this email address or phone number: [`Code::NotFound`].
    pub async fn by_login(&self, login: &str) -> Result<Model, Failure> {
        let login = Login::typed(login, self.region);
        let account = users::by_login(self.db.read(), &login).await?;
        account.ok_or_else(|| Failure::not_found("account"))
    }

    /// A page of the accounts that are not deleted, newest first.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Model>, Failure> {
        users::list(self.db.read(), page).await
    }

    /// Changes an account's name, email address or phone number. [`Code::AccountTaken`],
    /// [`Code::Stale`], [`Code::NotFound`].
    pub async fn update(
        &self,
        id: Uuid,
        change: AccountPatch,
        if_match: &IfMatch,
    ) -> Result<Model, Failure> {
        let (change, now) = (&change, self.clock.now());
        let updated = self.db.write(|transaction| async move {
            users::update(&transaction, id, change.clone(), self.region, if_match, now).await
        });
        updated.await
    }

    /// Registers an account. [`Code::AccountTaken`], [`Code::Forbidden`] where registration is
    /// closed, [`Code::RateLimited`].
    pub async fn register(&self, new: Registration, network: Network) -> Result<Model, Failure> {
        if !self.open_for_registration {
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
        let hash = &turn.hash(new.password.clone()).await?;
        let (new, now) = (&new, self.clock.now());
        let registered = self.db.write(|transaction| async move {
            users::register(&transaction, new, hash.clone(), role, now).await
        });
        registered.await
    }

    /// Replaces the caller's password and ends every other session. [`Code::InvalidFields`]
    /// where `current` is wrong, [`Code::RateLimited`] where that was tried too often.
    pub async fn change_password(
        &self,
        of: &SignedIn,
        current: &str,
        new: &str,
        network: Network,
    ) -> Result<(), Failure> {
        self.limits.take_password_change(of.caller.id).await?;
        // Again where the hash was replaced meanwhile: a sign-in may have brought it up to date.
        for _ in 0..2 {
            let changed = self.try_change_password(of, current, new, network);
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
        let (check, turn) = turn.verify(current.to_owned(), hash).await?;
        if check == PasswordCheck::Wrong {
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
            self.tokens
                .end(&transaction, account.id, others, now)
                .await
                .map(Some)
        });
        let Some(ended) = changed.await? else {
            return Ok(false);
        };
        self.tokens.announce(&ended);
        Ok(true)
    }

    /// Replaces a password without asking for the old one, and ends every session.
    /// [`Code::InvalidFields`] where the new one is no password for this account.
    pub async fn reset_password(&self, account: &Model, new: String) -> Result<(), Failure> {
        if let Some(mistake) = policy::mistake("/password", &new, Owner::of(account)) {
            return Err(Failure::invalid(vec![mistake]));
        }
        let (id, hash) = (account.id, &self.hash(new).await?);
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            users::set_password_hash(&transaction, id, hash.clone()).await?;
            self.tokens.end(&transaction, id, Which::All, now).await
        });
        self.tokens.announce(&ended.await?);
        Ok(())
    }

    /// Changes role or standing. Sessions of who is disabled end; a new role revokes the access
    /// tokens that say the old one. [`Code::LastAdmin`], [`Code::Stale`], [`Code::NotFound`].
    pub async fn set_access(
        &self,
        user: Uuid,
        change: UserPatch,
        if_match: &IfMatch,
    ) -> Result<Model, Failure> {
        let changed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let (before, after) =
                users::set_access(&transaction, user, change, if_match, now).await?;
            let revoked = if !after.is_active() {
                self.tokens.end(&transaction, user, Which::All, now).await?
            } else if after.role != before.role {
                self.tokens
                    .revoke_access_tokens(&transaction, user, now)
                    .await?
            } else {
                Vec::new()
            };
            Ok((after, revoked))
        });
        let (account, revoked) = changed.await?;
        self.tokens.announce(&revoked);
        Ok(account)
    }

    /// Deletes the caller's account: erases it and ends its sessions. [`Code::LastAdmin`],
    /// [`Code::Stale`].
    pub async fn delete_account(&self, of: &SignedIn, if_match: &IfMatch) -> Result<(), Failure> {
        let ended = self.db.write(|transaction| async move {
            let now = self.clock.now();
            users::erase(&transaction, of.caller.id, if_match, now).await?;
            known_networks::forget(&transaction, of.caller.id).await?;
            self.tokens
                .end(&transaction, of.caller.id, Which::All, now)
                .await
        });
        self.tokens.announce(&ended.await?);
        Ok(())
    }
}

fn wrong_password() -> Failure {
    let wrong = FieldError::new("/current_password", Rule::Wrong, "is not the password");
    Failure::invalid(vec![wrong])
}

#[cfg(test)]
mod tests;
