//! Accounts: what changes them, each change in one transaction with what it does to their sessions.

pub(in crate::auth) mod codes;
mod guests;
mod known_networks;
mod letters;
mod limits;
mod recovery;
mod sign_in;

pub mod code;
pub mod known_network;

use std::sync::Arc;
use std::time::Duration;

use phonenumber::country;
use uuid::Uuid;

use super::hmac_keys::HmacKeys;
use super::tokens::revocation;
use super::tokens::sessions::Which;
use super::{SWEEP_INTERVAL, SignedIn, Tokens};
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::{Db, Transaction};
use crate::failure::{Code, Failure, FieldError, RateLimit, Rule};
use crate::language::Language;
use crate::mail::{self, Draft, Mail};
use crate::network::Network;
use crate::page::{Page, PageRequest};
use crate::periodic::try_every;
use crate::precondition::IfMatch;
use crate::share::Share;
use crate::users::email;
use crate::users::entity::Model;
use crate::users::password::{Hasher, PasswordCheck, Turn};
use crate::users::policy::{self, Owner};
use crate::users::{self, AccountPatch, Login, Registration, Role, UserPatch};

use code::Purpose;
use limits::Limits;

/// For how long it makes sense to tell somebody that their address was changed.
const NOTICE_LIFETIME: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Registers, changes and deletes accounts, and checks their passwords. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    clock: Clock,
    tokens: Tokens,
    hasher: Hasher,
    limits: Arc<Limits>,
    hmac_keys: Arc<HmacKeys>,
    mail: Mail,
    region: country::Id,
    open_for_registration: bool,
    /// How long an unused guest is kept.
    guest_ttl: Duration,
}

impl Accounts {
    pub(super) fn new(
        db: Db,
        clock: Clock,
        share: Share,
        (tokens, hmac_keys, hasher, mail): (Tokens, Arc<HmacKeys>, Hasher, Mail),
        config: &Config,
    ) -> Accounts {
        Accounts {
            limits: Arc::new(Limits::new(&config.limits, share)),
            region: config.accounts.default_region,
            open_for_registration: config.accounts.registration,
            guest_ttl: config.auth.guest_ttl,
            db,
            clock,
            tokens,
            hasher,
            hmac_keys,
            mail,
        }
    }

    /// Removes networks that are not known any more, and codes whose time is over. Never returns; to
    /// be run beside the server and dropped with it.
    pub async fn maintain(self) {
        let warning = "expired codes and known networks could not be removed";
        try_every(SWEEP_INTERVAL, warning, || self.sweep()).await;
    }

    async fn sweep(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        codes::sweep(&self.db, now).await?;
        self.sweep_networks(now).await
    }

    /// The region whose phone numbers are understood in national form.
    pub fn region(&self) -> country::Id {
        self.region
    }

    /// The keys of all that is stored as a keyed hash.
    pub fn hmac_keys(&self) -> &Arc<HmacKeys> {
        &self.hmac_keys
    }

    /// An account, unless it is deleted: [`Code::NotFound`].
    pub async fn get(&self, id: Uuid) -> Result<Model, Failure> {
        users::get(self.db.read(), id).await
    }

    /// The codes of an account that were sent by mail and are still valid.
    pub async fn codes(&self, id: Uuid) -> Result<Vec<code::Model>, Failure> {
        codes::of(self.db.read(), id).await
    }

    /// The account that signs in by this email address or phone number: [`Code::NotFound`].
    pub async fn by_login(&self, login: &str) -> Result<Model, Failure> {
        let login = Login::typed(login, self.region);
        let account = users::by_login(self.db.read(), &login).await?;
        account.ok_or_else(|| Failure::not_found("account"))
    }

    /// A page of the accounts, or of the guests, that are not deleted, newest first.
    pub async fn list(&self, guests: bool, page: PageRequest) -> Result<Page<Model>, Failure> {
        users::list(self.db.read(), guests, page).await
    }

    /// Changes an account's name, email address or phone number. Changing one of the latter needs
    /// the current password, and the email address before is told. [`Code::AccountTaken`],
    /// [`Code::Stale`], [`Code::NotFound`], [`Code::InvalidFields`], [`Code::RateLimited`].
    pub async fn update(
        &self,
        id: Uuid,
        change: AccountPatch,
        if_match: &IfMatch,
        language: Language,
        network: Network,
    ) -> Result<Model, Failure> {
        if change.current_password.is_some() {
            self.limits.take_password_change(id).await?;
        }
        let update = || self.try_update(id, &change, if_match, language, network);
        let updated = while_hash_stays(update).await?;
        self.mail.announce();
        Ok(updated)
    }

    /// None where the stored hash was replaced meanwhile.
    async fn try_update(
        &self,
        id: Uuid,
        change: &AccountPatch,
        if_match: &IfMatch,
        language: Language,
        network: Network,
    ) -> Result<Option<Model>, Failure> {
        let confirmed = match &change.current_password {
            Some(current) => Some(self.confirm(id, current.expose(), network).await?.0),
            None => None,
        };
        let kind = mail::Kind::AddressChanged;
        if let (Some(account), Some(email)) = (&confirmed, &change.email)
            && account.email_key.as_deref() != Some(&email::key(email.as_str()))
        {
            self.take_notice(account, kind, network).await?;
        }
        let (confirmed, region) = (&confirmed, self.region);
        let updated = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let account = users::lock(&transaction, id).await?;
            let is_confirmed = match confirmed {
                Some(of) if of.password_hash != account.password_hash => return Ok(None),
                confirmed => confirmed.is_some(),
            };
            let updating = users::update(
                &transaction,
                account,
                change.clone(),
                is_confirmed,
                region,
                if_match,
                now,
            );
            let (before, after) = updating.await?;
            if before.email_key != after.email_key {
                codes::void_all(&transaction, id).await?;
                self.notify(&transaction, &before, kind, language).await?;
            }
            Ok(Some(after))
        });
        updated.await
    }

    /// Counts a notice to an account, if there is mail.
    async fn take_notice(
        &self,
        account: &Model,
        kind: mail::Kind,
        network: Network,
    ) -> Result<(), Failure> {
        match &account.email_key {
            Some(recipient) if self.mail.is_configured() => {
                self.limits.take_mail(kind, recipient, network).await
            }
            _ => Ok(()),
        }
    }

    /// Tells the address of an account about a change, if there is mail. [`Mail::announce`] must be
    /// called once the transaction has committed.
    async fn notify(
        &self,
        transaction: &Transaction,
        account: &Model,
        kind: mail::Kind,
        language: Language,
    ) -> Result<(), Failure> {
        match &account.email {
            Some(recipient) if self.mail.is_configured() => {
                let draft = Draft {
                    kind,
                    about: Some(account.id),
                    recipient,
                    language,
                    lifetime: NOTICE_LIFETIME,
                };
                self.mail.queue(transaction, &draft).await
            }
            _ => Ok(()),
        }
    }

    /// The account, if this is its password, and the turn in which that was checked.
    /// [`Code::InvalidFields`] where it is not.
    async fn confirm(
        &self,
        id: Uuid,
        current: &str,
        network: Network,
    ) -> Result<(Model, Turn), Failure> {
        let account = users::get(self.db.read(), id).await?;
        let turn = self.hasher.turn(network).await?;
        let hash = account.password_hash.clone();
        let (check, turn) = turn.verify(current.to_owned(), hash).await?;
        match check {
            PasswordCheck::Wrong => Err(wrong_password()),
            PasswordCheck::Right { .. } => Ok((account, turn)),
        }
    }

    /// Registers an account. [`Code::AccountTaken`], [`Code::Forbidden`] where registration is
    /// closed, [`Code::RateLimited`].
    pub async fn register(&self, new: Registration, network: Network) -> Result<Model, Failure> {
        self.admit_registration(network).await?;
        self.make_account(new, Role::User, network).await
    }

    /// Counts a registration, or refuses it.
    async fn admit_registration(&self, network: Network) -> Result<(), Failure> {
        if !self.open_for_registration {
            let detail = "Registration is closed. Ask an administrator for an account.";
            return Err(Failure::new(Code::Forbidden, detail));
        }
        self.limits.take_registration(network).await
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

    /// Replaces the caller's password, ends every other session, and tells the owner.
    /// [`Code::InvalidFields`] where `current` is wrong, [`Code::RateLimited`] where that was tried
    /// too often.
    pub async fn change_password(
        &self,
        of: &SignedIn,
        current: &str,
        new: &str,
        language: Language,
        network: Network,
    ) -> Result<(), Failure> {
        self.limits.take_password_change(of.caller.id).await?;
        let change = || self.try_change_password(of, current, new, language, network);
        let ended = while_hash_stays(change).await?;
        self.tokens.announce(&ended);
        self.mail.announce();
        Ok(())
    }

    /// The sessions that have ended. None where the stored hash was replaced meanwhile.
    async fn try_change_password(
        &self,
        of: &SignedIn,
        current: &str,
        new: &str,
        language: Language,
        network: Network,
    ) -> Result<Option<Vec<revocation::Model>>, Failure> {
        let (account, turn) = self.confirm(of.caller.id, current, network).await?;
        let kind = mail::Kind::PasswordChanged;
        self.take_notice(&account, kind, network).await?;
        let new_hash = turn.hash(new.to_owned()).await?;
        let (account, new_hash) = (&account, &new_hash);
        let changed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let locked = users::lock(&transaction, account.id).await?;
            if locked.password_hash != account.password_hash {
                return Ok(None);
            }
            self.notify(&transaction, &locked, kind, language).await?;
            let others = Which::AllBut(of.session_id);
            self.replace_password(&transaction, account.id, new_hash, others, now)
                .await
                .map(Some)
        });
        changed.await
    }

    /// Sets another password, makes tokens for a new one void, and ends sessions. What is returned
    /// must be announced once the transaction has committed.
    async fn replace_password(
        &self,
        transaction: &Transaction,
        id: Uuid,
        hash: &str,
        which: Which,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        users::set_password_hash(transaction, id, hash.to_owned()).await?;
        codes::void(transaction, id, Purpose::PasswordReset).await?;
        self.tokens.end(transaction, id, which, now).await
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
            self.replace_password(&transaction, id, hash, Which::All, now)
                .await
        });
        self.tokens.announce(&ended.await?);
        Ok(())
    }

    /// Changes role or standing. Sessions of who is disabled end, and their codes are void; a new role
    /// revokes the access tokens that say the old one. [`Code::LastAdmin`], [`Code::Stale`], [`Code::NotFound`].
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
                codes::void_all(&transaction, user).await?;
                self.tokens.end(&transaction, user, Which::All, now).await?
            } else if after.standing != before.standing {
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
    /// [`Code::InvalidFields`] where `current` is not its password, [`Code::RateLimited`].
    pub async fn delete_account(
        &self,
        of: &SignedIn,
        current: &str,
        network: Network,
    ) -> Result<(), Failure> {
        self.limits.take_password_change(of.caller.id).await?;
        let delete = || self.try_delete(of.caller.id, current, network);
        let ended = while_hash_stays(delete).await?;
        self.tokens.announce(&ended);
        Ok(())
    }

    /// The sessions that have ended. None where the stored hash was replaced meanwhile.
    async fn try_delete(
        &self,
        id: Uuid,
        current: &str,
        network: Network,
    ) -> Result<Option<Vec<revocation::Model>>, Failure> {
        let (confirmed, turn) = self.confirm(id, current, network).await?;
        drop(turn);
        let confirmed = &confirmed;
        let deleted = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let account = users::lock(&transaction, id).await?;
            if account.password_hash != confirmed.password_hash {
                return Ok(None);
            }
            let addresses = [account.email.clone(), account.email_key.clone()];
            let addresses: Vec<&str> = addresses.iter().flatten().map(String::as_str).collect();
            mail::forget(&transaction, &addresses).await?;
            users::erase(&transaction, account, now).await?;
            codes::void_all(&transaction, id).await?;
            known_networks::forget(&transaction, id).await?;
            let ended = self.tokens.end(&transaction, id, Which::All, now);
            ended.await.map(Some)
        });
        deleted.await
    }
}

/// Does what needs a confirmed password, and once more where it was not done because the stored hash
/// was replaced meanwhile: a sign-in may have brought it up to date.
async fn while_hash_stays<T, F>(attempt: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    for _ in 0..2 {
        if let Some(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(wrong_password())
}

fn wrong_password() -> Failure {
    let wrong = FieldError::new("/current_password", Rule::Wrong, "is not the password");
    Failure::invalid(vec![wrong])
}

#[cfg(test)]
mod tests;
