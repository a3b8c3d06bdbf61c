//! One's own account.

use poem_openapi::OpenApi;

use super::objects::{Account, DeletionInput, EmailVerificationInput, PasswordChange};
use super::rendered;
use crate::auth::guard::Voter;
use crate::auth::{Accounts, SignedIn};
use crate::failure::{Code, Failure};
use crate::http::body::{Body, Unchecked};
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::{Accepted, Changed, Done, Fetched};
use crate::http::spec::Tag;
use crate::language::Language;
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
    UpdateMe: Unauthenticated, AccountTaken, Stale, InvalidFields, RateLimited;
    DeleteMe: Unauthenticated, LastAdmin, InvalidFields, RateLimited;
    DeleteGuest: Unauthenticated, Forbidden;
    RequestEmailVerification: Unauthenticated, MailNotConfigured, RateLimited;
    VerifyEmail: Unauthenticated, MailNotConfigured, InvalidFields, RateLimited;
    ChangePassword: Unauthenticated, InvalidFields, RateLimited;
}

#[OpenApi]
impl MeApi {
    /// Get my account
    ///
    /// All of it but the password. A guest has no email address.
    #[oai(path = "/users/me", method = "get", operation_id = "getMe", tag = Tag::Users)]
    async fn get_me(&self, voter: Voter) -> Result<Fetched<Account>, Refused<GetMe>> {
        let account = self.accounts.get(voter.0.caller.id).await;
        Ok(Fetched::new(rendered(account.map_err(gone)?)?))
    }

    /// Change my account
    ///
    /// Changes what is named: `null` removes the phone number. The password has a call of its own.
    /// To change the email address or phone number takes `current_password`; how often an account
    /// may try is limited. A changed email address is not verified, and the one before is told by
    /// mail, if the server sends mail.
    #[oai(path = "/users/me", method = "patch", operation_id = "updateMe", tag = Tag::Users)]
    async fn update_me(
        &self,
        network: Network,
        language: Language,
        signed_in: SignedIn,
        if_match: IfMatch,
        body: Unchecked<AccountPatch>,
    ) -> Result<Changed<Account>, Refused<UpdateMe>> {
        let region = self.accounts.region();
        let change = body.check(|change| change.mistakes(region))?;
        let id = signed_in.caller.id;
        let changed = self
            .accounts
            .update(id, change, &if_match, language, network);
        Ok(Changed::new(rendered(changed.await.map_err(gone)?)?))
    }

    /// Delete my account
    ///
    /// Erases name, email address, phone number and password, and signs out everywhere. Email
    /// address and phone number can be registered again at once. Questions and ballots stay; their
    /// author is then an id without a name. How often an account may try is limited.
    ///
    /// Sent twice: 401, because the account is gone.
    #[oai(path = "/users/me/deletion", method = "post", operation_id = "deleteMe", tag = Tag::Users)]
    async fn delete_me(
        &self,
        network: Network,
        signed_in: SignedIn,
        body: Body<DeletionInput>,
    ) -> Result<Done, Refused<DeleteMe>> {
        let current = body.0.current_password;
        let deleted = self
            .accounts
            .delete_account(&signed_in, current.expose(), network);
        deleted.await.map_err(gone)?;
        Ok(Done)
    }

    /// Delete me, a guest
    ///
    /// Erases the name of the guest and ends its session; its ballots stay. An account is deleted with
    /// `POST /users/me/deletion`, which takes its password; here it is 403.
    ///
    /// Sent twice: 401, because the guest is gone.
    #[oai(path = "/users/me", method = "delete", operation_id = "deleteGuest", tag = Tag::Users)]
    async fn delete_guest(&self, voter: Voter) -> Result<Done, Refused<DeleteGuest>> {
        if !voter.0.caller.is_guest() {
            let detail = "An account is deleted with `POST /users/me/deletion` and its password.";
            return Err(Failure::new(Code::Forbidden, detail).into());
        }
        self.accounts.delete_guest(&voter.0).await?;
        Ok(Done)
    }

    /// Verify my email address: send a code
    ///
    /// Sends a code to the account's email address, unless it is verified already. The code is valid
    /// for an hour, and only while it is the newest. How many messages one network address causes
    /// and one recipient gets is limited.
    ///
    /// Sent twice: two messages, of which the code of the newer one works.
    #[oai(
        path = "/users/me/email-verification",
        method = "post",
        operation_id = "requestEmailVerification",
        tag = Tag::Users
    )]
    async fn request_email_verification(
        &self,
        network: Network,
        language: Language,
        signed_in: SignedIn,
    ) -> Result<Accepted, Refused<RequestEmailVerification>> {
        let requested = self
            .accounts
            .request_verification(signed_in.caller.id, language, network);
        requested.await.map_err(gone)?;
        Ok(Accepted)
    }

    /// Verify my email address
    ///
    /// Takes the code that was sent to the address that the account has now. How often an account
    /// may try is limited.
    #[oai(
        path = "/users/me/email-verification",
        method = "put",
        operation_id = "verifyEmail",
        tag = Tag::Users
    )]
    async fn verify_email(
        &self,
        signed_in: SignedIn,
        body: Body<EmailVerificationInput>,
    ) -> Result<Changed<Account>, Refused<VerifyEmail>> {
        let verified = self
            .accounts
            .verify_email(signed_in.caller.id, &body.0.code);
        Ok(Changed::new(rendered(verified.await.map_err(gone)?)?))
    }

    /// Change my password
    ///
    /// Signs out everywhere else; this session goes on. The owner is told by mail, if the server sends
    /// mail. How often an account may try is limited.
    #[oai(
        path = "/users/me/password",
        method = "put",
        operation_id = "changePassword",
        tag = Tag::Users
    )]
    async fn change_password(
        &self,
        network: Network,
        language: Language,
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
            .change_password(&signed_in, current, new, language, network);
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
