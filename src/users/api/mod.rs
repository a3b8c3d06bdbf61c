//! Accounts over HTTP: registering, one's own account, and what others and admins see.

mod me;
mod my_data;
mod objects;

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::entity::Model;
use super::{NewUser, UserPatch};
use crate::auth::Accounts;
use crate::auth::guard::{Admin, MaybeSignedIn};
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::http::API;
use crate::http::body::{Body, Unchecked};
use crate::http::policy::{Links, operations};
use crate::http::rates::Metered;
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Changed, Created, Fetched};
use crate::http::spec::Tag;
use crate::invitations;
use crate::network::Network;
use crate::page::{PageMeta, Paging};
use crate::precondition::IfMatch;
use crate::rendered::Rendered;

use objects::{Account, AccountPage, User};

pub use me::MeApi;
pub use my_data::MyDataApi;

/// The lists, for their cursors.
const ACCOUNTS: &str = "users";
const GUESTS: &str = "guests";

/// The handlers of accounts.
pub struct UsersApi {
    pub db: Db,
    pub accounts: Accounts,
}

operations! {
    CreateUser: Unauthenticated, Forbidden, AccountTaken, InvitedGuest, InvalidFields, RateLimited => {
        links: Some(Links { status: 201, parameters: &[("user_id", "$response.body#/id")] }),
    };
    GetUser: NotFound;
    ListUsers: MalformedRequest, Forbidden;
    UpdateUser: Forbidden, NotFound, LastAdmin, Stale, InvalidFields;
}

#[OpenApi]
impl UsersApi {
    /// Register
    ///
    /// Makes an account. Names need not be unique; email addresses and phone numbers must, however
    /// they are written. Signing in is a separate call. How many accounts one address may register
    /// is limited.
    ///
    /// With the token of a guest, the guest becomes the account: its id and its ballots stay, and its
    /// sessions end. Only a guest of an invitation stays one (409 `invited_guest`). The token of an
    /// account changes nothing.
    ///
    /// Sent twice: the second is 409 `account_taken`, and the account stays as it is.
    #[oai(path = "/users", method = "post", operation_id = "createUser", tag = Tag::Users)]
    async fn create_user(
        &self,
        request: &Request,
        network: Network,
        caller: MaybeSignedIn,
        body: Unchecked<NewUser>,
    ) -> Result<Created<Account>, Refused<CreateUser>> {
        let region = self.accounts.region();
        let new = body.check(|new| new.mistakes(region))?;
        let new = new.into_registration(region);
        let guest = caller.0.filter(|signed_in| signed_in.caller.is_guest());
        if let Some(guest) = &guest {
            // Invitations never change their guests.
            let invited = invitations::invited(self.db.read(), [guest.caller.id]).await?;
            if !invited.is_empty() {
                let detail = "A guest of an invitation cannot become an account.";
                return Err(Failure::new(Code::InvitedGuest, detail).into());
            }
        }
        let registered = match &guest {
            Some(guest) => self.accounts.register_guest(guest, new, network).await,
            None => self.accounts.register(new, network).await,
        };
        Metered::tell(request, self.accounts.registration_limit(network));
        let account = registered?;
        let location = format!("{API}/users/{}", account.id);
        Ok(Created::new(rendered(account)?, location))
    }

    /// List accounts
    ///
    /// Admins only: the accounts that are not deleted, newest first. With `guests`, the guests instead.
    #[oai(path = "/users", method = "get", operation_id = "listUsers", tag = Tag::Users)]
    async fn list_users(
        &self,
        _admin: Admin,
        /// Guests instead of accounts.
        #[oai(default)]
        guests: Query<bool>,
        page: Paging,
    ) -> Result<Answered<AccountPage>, Refused<ListUsers>> {
        let list = if guests.0 { GUESTS } else { ACCOUNTS };
        let accounts = self.accounts.list(guests.0, page.of(list)?).await?;
        let page = AccountPage {
            data: accounts.items.into_iter().map(Account::of).collect(),
            meta: PageMeta::new(accounts.next, list),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Get an account
    ///
    /// Its public part: id and name. Admins see all of it.
    #[oai(path = "/users/:user_id", method = "get", operation_id = "getUser", tag = Tag::Users)]
    async fn get_user(
        &self,
        signed_in: MaybeSignedIn,
        /// The account's id.
        user_id: Path<Uuid>,
    ) -> Result<Fetched<User>, Refused<GetUser>> {
        let account = self.accounts.get(user_id.0).await?;
        let revision = account.revision;
        let sees_all = signed_in
            .0
            .is_some_and(|signed_in| signed_in.caller.is_admin());
        let user = User::of(account, sees_all);
        // To others the revision would tell of changes that they may not see.
        let revision = if sees_all { revision } else { 0 };
        Ok(Fetched::new(Rendered::tagged(&user, revision)?))
    }

    /// Change an account's role or disable it
    ///
    /// Admins only. A disabled account is signed out everywhere and cannot sign in. A new role
    /// makes the account's access tokens invalid; refreshing gets ones with the new role. At least
    /// one active admin must remain. A guest can be disabled but has no role.
    #[oai(path = "/users/:user_id", method = "patch", operation_id = "updateUser", tag = Tag::Users)]
    async fn update_user(
        &self,
        _admin: Admin,
        /// The account's id.
        user_id: Path<Uuid>,
        if_match: IfMatch,
        body: Body<UserPatch>,
    ) -> Result<Changed<Account>, Refused<UpdateUser>> {
        let account = self
            .accounts
            .set_access(user_id.0, body.0, &if_match)
            .await?;
        Ok(Changed::new(rendered(account)?))
    }
}

/// An account with its entity tag.
fn rendered(account: Model) -> Result<Rendered, Failure> {
    let revision = account.revision;
    Rendered::tagged(&Account::of(account), revision)
}
