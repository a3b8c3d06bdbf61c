//! Signing in with a password.

use uuid::Uuid;

use super::Accounts;
use super::limits::Admission;
use crate::auth::tokens::grant::{GrantFailure, TokenResponse};
use crate::auth::tokens::revocation;
use crate::failure::{Failure, RateLimit};
use crate::network::Network;
use crate::users::entity::Model as Account;
use crate::users::password::PasswordCheck;
use crate::users::{self, Login};

impl Accounts {
    /// Signs in by email address or phone number, and begins a session.
    /// [`Code::RateLimited`](crate::failure::Code::RateLimited) after too many attempts or
    /// failures.
    pub async fn sign_in(
        &self,
        login: &str,
        password: String,
        client: Option<&str>,
        network: Network,
    ) -> Result<TokenResponse, GrantFailure> {
        let login = Login::typed(login, self.region);
        self.limits.take_sign_in(&login, network)?;
        // Again where the hash was replaced meanwhile: another sign-in may have brought it up to
        // date.
        for _ in 0..2 {
            let granted = self.try_sign_in(&login, &password, client, network);
            if let Some(granted) = granted.await? {
                return Ok(granted);
            }
        }
        Err(GrantFailure::InvalidGrant)
    }

    /// What is left of the limit on attempts to sign in like this; none where there are no limits.
    pub fn sign_in_limit(&self, login: &str, network: Network) -> Option<RateLimit> {
        let login = Login::typed(login, self.region);
        self.limits.sign_in_state(&login, network)
    }

    /// None where the stored hash was replaced meanwhile.
    async fn try_sign_in(
        &self,
        login: &Login,
        password: &str,
        client: Option<&str>,
        network: Network,
    ) -> Result<Option<TokenResponse>, GrantFailure> {
        let account = users::by_login(self.db.read(), login).await?;
        let id = account.as_ref().map(|account| account.id);
        // Checked twice: before the wait for a worker, to refuse a flood cheaply; and after it, to
        // count the failures of the meantime. So at most as many guesses as there are workers go
        // beyond the limit.
        self.admit(self.limits.known_admission(login, network), id, network)
            .await?;
        let turn = self.hasher.turn(network).await?;
        self.admit(self.limits.admission(login, network).await, id, network)
            .await?;

        let hash = account
            .as_ref()
            .and_then(|account| account.password_hash.clone());
        let (check, turn) = turn.verify(password.to_owned(), hash).await?;
        let account = account.filter(Account::is_active);
        let (Some(account), PasswordCheck::Right { new_hash }) = (account, check) else {
            self.limits.count_failed_sign_in(login, network).await;
            return Err(GrantFailure::InvalidGrant);
        };
        drop(turn);
        self.begin_session(&account, new_hash, client, network)
            .await
    }

    /// Refuses what the limits do not admit.
    async fn admit(
        &self,
        admission: Admission,
        account: Option<Uuid>,
        network: Network,
    ) -> Result<(), Failure> {
        match admission {
            Admission::Free => Ok(()),
            Admission::Refused(failure) => Err(failure),
            Admission::KnownNetworks(failure) => {
                // In a box: it is rare, and every sign-in would need room for it otherwise.
                match Box::pin(self.knows_network(account, network)).await? {
                    true => Ok(()),
                    false => Err(failure),
                }
            }
        }
    }

    /// Begins a session of an account whose password was verified, and stores `new_hash` of it
    /// where there is one. None where the stored hash was replaced since.
    async fn begin_session(
        &self,
        verified: &Account,
        new_hash: Option<String>,
        client: Option<&str>,
        network: Network,
    ) -> Result<Option<TokenResponse>, GrantFailure> {
        let new_hash = &new_hash;
        let begun = self.db.write(|transaction| async move {
            let now = self.clock.now();
            // The account may have been disabled, or its password changed, since it was read.
            let Some(account) = users::lock_active(&transaction, verified.id).await? else {
                return Ok(Beginning::Inactive);
            };
            if account.password_hash != verified.password_hash {
                return Ok(Beginning::HashReplaced);
            }
            if let Some(hash) = new_hash {
                users::set_password_hash(&transaction, account.id, hash.clone()).await?;
            }
            self.note_network(&transaction, account.id, network, now)
                .await?;
            let begun = self
                .tokens
                .begin_session(&transaction, &account, client, now);
            let (granted, revoked) = begun.await?;
            Ok(Beginning::Done(granted, revoked))
        });
        match begun.await? {
            Beginning::Done(granted, revoked) => {
                self.tokens.announce(&revoked);
                Ok(Some(granted))
            }
            Beginning::HashReplaced => Ok(None),
            Beginning::Inactive => Err(GrantFailure::InvalidGrant),
        }
    }
}

enum Beginning {
    Done(TokenResponse, Vec<revocation::Model>),
    /// The stored hash is not the one that was verified.
    HashReplaced,
    Inactive,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::{Cluster, set_access, user};
    use crate::users::UserPatch;

    #[tokio::test]
    async fn what_changed_while_the_password_was_checked_counts() {
        let (_cluster, process) = Cluster::new().await;
        let verified = user(&process, "luxi").await;
        let begin = async || {
            let network = Network::of(None);
            process
                .accounts
                .begin_session(&verified, None, None, network)
                .await
        };
        assert!(matches!(begin().await, Ok(Some(_))));

        let disable = |disabled| UserPatch {
            disabled: Some(disabled),
            ..UserPatch::default()
        };
        let login = "luxi@example.org";
        set_access(&process, login, disable(true)).await;
        let refused = begin().await;
        assert!(
            matches!(refused, Err(GrantFailure::InvalidGrant)),
            "{refused:?}"
        );

        set_access(&process, login, disable(false)).await;
        let account = process.accounts.by_login(login).await.unwrap();
        let password = "another password".to_owned();
        let reset = process.accounts.reset_password(&account, password);
        reset.await.unwrap();
        let refused = begin().await;
        assert!(matches!(refused, Ok(None)), "{refused:?}");
    }
}
