//! Guests: making them, making accounts of them, and removing them.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::Accounts;
use crate::auth::SignedIn;
use crate::auth::tokens::grant::TokenResponse;
use crate::auth::tokens::sessions::Which;
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Code, Failure, RateLimit};
use crate::network::Network;
use crate::users::entity::Model;
use crate::users::{self, Registration};

/// How long an unused guest is kept before the next look whether it is still needed.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Accounts {
    /// Makes a guest and begins its session. Returns its id, too. [`Code::RateLimited`].
    pub async fn make_guest(
        &self,
        name: Option<String>,
        client: Option<&str>,
        network: Network,
    ) -> Result<(Uuid, TokenResponse), Failure> {
        self.limits.take_guest(network).await?;
        let name = &name;
        let made = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let expires_at = now.after(self.guest_ttl);
            let guest = users::make_guest(&transaction, name.clone(), expires_at, now).await?;
            let begun = self.tokens.begin_session(&transaction, &guest, client, now);
            // It has no other session that could end.
            let (granted, _) = begun.await?;
            Ok((guest.id, granted))
        });
        made.await
    }

    /// The guest of an invitation: `id`, which is none while the invitation is not used. A new one has no
    /// name and seems to be made at `since`, so that nothing in its row tells admins which invitation
    /// was used, or when. None where the guest was removed or disabled.
    pub async fn invited_guest(
        &self,
        transaction: &Transaction,
        id: Option<Uuid>,
        since: Time,
    ) -> Result<Option<Model>, Failure> {
        let expires_at = self.clock.now().after(self.guest_ttl);
        let Some(id) = id else {
            let guest = users::make_guest(transaction, None, expires_at, since).await?;
            return Ok(Some(guest));
        };
        let guest = users::lock_active(transaction, id).await?;
        if let Some(guest) = &guest {
            users::renew_guest(transaction, guest, expires_at).await?;
        }
        Ok(guest)
    }

    /// Refuses to try codes of invitations after too many failures from this network. Counts nothing.
    pub async fn admit_code(&self, network: Network) -> Result<(), Failure> {
        self.limits.admit_code(network).await
    }

    /// Counts a code that is none of an invitation.
    pub async fn count_wrong_code(&self, network: Network) {
        self.limits.count_wrong_code(network).await;
    }

    /// What is left of the limit on guests from a network; none where there are no limits.
    pub fn guest_limit(&self, network: Network) -> Option<RateLimit> {
        self.limits.guest_state(network)
    }

    /// Makes an account of the calling guest, which keeps its id and its ballots. Its sessions end: its
    /// owner signs in with the new password. [`Code::AccountTaken`], [`Code::Forbidden`] where
    /// registration is closed, [`Code::RateLimited`], and [`Code::Unauthenticated`] if it is no guest
    /// any more.
    pub async fn register_guest(
        &self,
        guest: &SignedIn,
        new: Registration,
        network: Network,
    ) -> Result<Model, Failure> {
        self.admit_registration(network).await?;
        let turn = self.hasher.turn(network).await?;
        let hash = &turn.hash(new.password.clone()).await?;
        let new = &new;
        let registered = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let guest = lock_guest(&transaction, guest.caller.id).await?;
            let id = guest.id;
            let account = users::register_guest(&transaction, guest, new, hash.clone(), now);
            let account = account.await?;
            let ended = self.tokens.end(&transaction, id, Which::All, now).await?;
            Ok((account, ended))
        });
        let (account, ended) = registered.await?;
        self.tokens.announce(&ended);
        Ok(account)
    }

    /// Erases whatever says who the calling guest was, and ends its sessions; its ballots stay.
    /// [`Code::Unauthenticated`] if it is no guest any more.
    pub async fn delete_guest(&self, of: &SignedIn) -> Result<(), Failure> {
        let deleted = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let guest = lock_guest(&transaction, of.caller.id).await?;
            let id = guest.id;
            users::erase(&transaction, guest, now).await?;
            self.tokens.end(&transaction, id, Which::All, now).await
        });
        self.tokens.announce(&deleted.await?);
        Ok(())
    }

    /// Removes guests that are still unused, as [`delete_guest`](Self::delete_guest) does, but keeps
    /// those in `needed` for another day.
    pub async fn remove_guests(
        &self,
        unused: &[Uuid],
        needed: &HashSet<Uuid>,
    ) -> Result<(), Failure> {
        let removed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let mut erased = Vec::new();
            for id in unused {
                let guest = match users::lock(&transaction, *id).await {
                    Ok(guest) => guest,
                    // Another process has removed it.
                    Err(failure) if failure.code == Code::NotFound => continue,
                    Err(failure) => return Err(failure),
                };
                if guest
                    .guest_expires_at
                    .is_none_or(|expires_at| expires_at > now)
                {
                    continue;
                }
                if needed.contains(id) {
                    users::renew_guest(&transaction, &guest, now.after(DAY)).await?;
                } else {
                    users::erase(&transaction, guest, now).await?;
                    erased.push(*id);
                }
            }
            self.tokens.end_all_of(&transaction, &erased, now).await
        });
        self.tokens.announce(&removed.await?);
        Ok(())
    }
}

/// Locks a guest that may act.
async fn lock_guest(transaction: &Transaction, id: Uuid) -> Result<Model, Failure> {
    let account = users::lock_active(transaction, id).await?;
    account.filter(Model::is_guest).ok_or_else(|| {
        let detail = "This guest has registered or was removed. Sign in with the account.";
        Failure::new(Code::Unauthenticated, detail)
    })
}
