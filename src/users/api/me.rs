//! One's own account.

use poem_openapi::OpenApi;

use super::objects::{Account, PasswordChange};
use super::rendered;
use crate::auth::{Accounts, SignedIn};
use crate::failure::{Code, Failure};
use crate::http::body::Unchecked;
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::{Changed, Done, Fetched};
use crate::http::spec::Tag;
use crate::network::Network;
use crate::precondition::IfMatch;
use crate::users::AccountPatch;
use crate::users::policy::{self, Owner};

/// The handlers of one's own account.
pub struct MeApi {
    pub accounts: Accounts,
}

operations! {
    GetMe: Unauthenticated;
    UpdateMe: Unauthenticated, AccountTaken, Stale, InvalidFields;
    DeleteMe: Unauthenticated, LastAdmin, Stale;
    ChangePassword: Unauthenticated, InvalidFields, RateLimited;
}

#[OpenApi]
impl MeApi {
    /// Get my account
    ///
    /// All of it but the password.
    #[oai(path = "/users/me", method = "get", operation_id = "getMe", tag = Tag::Users)]
    async fn get_me(&self, signed_in: SignedIn) -> Result<Fetched<Account>, Refused<GetMe>> {
        let account = self.accounts.get(signed_in.caller.id).await;
        Ok(Fetched::new(rendered(account.map_err(gone)?)?))
    }

    /// Change my account
    ///
    /// Changes what is named: `null` removes the phone number. The password has a call of its own.
    #[oai(path = "/users/me", method = "patch", operation_id = "updateMe", tag = Tag::Users)]
    async fn update_me(
        &self,
        signed_in: SignedIn,
        if_match: IfMatch,
        body: Unchecked<AccountPatch>,
    ) -> Result<Changed<Account>, Refused<UpdateMe>> {
        let region = self.accounts.region();
        let change = body.check(|change| change.mistakes(region))?;
        let changed = self.accounts.update(signed_in.caller.id, change, &if_match);
        Ok(Changed::new(rendered(changed.await.map_err(gone)?)?))
    }

    /// Delete my account
    ///
    /// Erases name, email address, phone number and password, and signs out everywhere. Email
    /// address and phone number can be registered again at once. Questions and ballots stay; their
    /// author is then an id without a name.
    #[oai(path = "/users/me", method = "delete", operation_id = "deleteMe", tag = Tag::Users)]
    async fn delete_me(
        &self,
        signed_in: SignedIn,
        if_match: IfMatch,
    ) -> Result<Done, Refused<DeleteMe>> {
        self.accounts
            .delete_account(&signed_in, &if_match)
            .await
            .map_err(gone)?;
        Ok(Done)
    }

    /// Change my password
    ///
    /// Signs out everywhere else; this session goes on. How often an account may try is limited.
    #[oai(
        path = "/users/me/password",
        method = "put",
        operation_id = "changePassword",
        tag = Tag::Users
    )]
    async fn change_password(
        &self,
        network: Network,
        signed_in: SignedIn,
        body: Unchecked<PasswordChange>,
    ) -> Result<Done, Refused<ChangePassword>> {
        let account = self.accounts.get(signed_in.caller.id).await;
        let account = account.map_err(gone)?;
        let PasswordChange {
            current_password,
            new_password,
        } = body.check(|change| {
            let owner = Owner::of(&account);
            let new = change.new_password.expose();
            let mistake = policy::mistake("/new_password", new, owner);
            mistake.into_iter().collect()
        })?;
        let (current, new) = (current_password.expose(), new_password.expose());
        let changed = self
            .accounts
            .change_password(&signed_in, current, new, network);
        changed.await.map_err(gone)?;
        Ok(Done)
    }
}

/// The token is still valid in memory, but another process has just deleted the account.
fn gone(failure: Failure) -> Failure {
    match failure.code {
        Code::NotFound => Failure::new(Code::Unauthenticated, "The account has been deleted."),
        _ => failure,
    }
}
