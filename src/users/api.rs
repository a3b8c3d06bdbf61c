//! Accounts over HTTP.

use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::entity::Model;
use super::{Profile, Standing, phone};
use crate::app::{PREFIX, Tag};
use crate::auth::account::Registration;
use crate::auth::guard::{Admin, MaybeSignedIn};
use crate::auth::limits::Place;
use crate::auth::{Authority, SignedIn};
use crate::clock::Time;
use crate::failure::{Code, Failure, FieldError};
use crate::http::body::{Body, Draft};
use crate::http::client::ClientAddr;
use crate::http::conditional::IfMatch;
use crate::http::page::{Cursor, DEFAULT_LIMIT, PageMeta};
use crate::http::patch::Patch;
use crate::http::refused::{Refused, failures};
use crate::http::reply::{Answered, Changed, Created, Done, Fetched, Rendered};
use crate::text;

/// The list of accounts, for its cursors.
const LIST: &str = "users";

/// Accounts.
pub struct UsersApi {
    authority: Authority,
}

failures! {
    Register: Forbidden, AccountTaken, InvalidFields, RateLimited;
    GetMe: Unauthenticated;
    UpdateMe: Unauthenticated, AccountTaken, Stale, InvalidFields;
    DeleteMe: Unauthenticated, LastAdmin, Stale;
    ChangePassword: Unauthenticated, InvalidFields, RateLimited;
    GetUser: NotFound;
    ListUsers: MalformedRequest, Forbidden;
    UpdateUser: Forbidden, NotFound, LastAdmin, Stale, InvalidFields;
}

impl UsersApi {
    pub fn new(authority: Authority) -> Self {
        UsersApi { authority }
    }

    /// What is wrong with a phone number that was sent, if one was.
    fn phone_mistake(&self, phone: Option<&String>) -> Vec<FieldError> {
        let region = self.authority.region();
        let wrong = phone.filter(|phone| phone::normalise(phone, region).is_none());
        let mistake = |_| FieldError::new("/phone", "phone", phone::EXPECTED);
        wrong.map(mistake).into_iter().collect()
    }
}

#[OpenApi]
impl UsersApi {
    /// Register
    ///
    /// Makes an account. Names need not be unique; email addresses and phone numbers must, however
    /// they are written. Signing in is a separate call. How many accounts one address may register
    /// is limited.
    #[oai(path = "/users", method = "post", operation_id = "register", tag = Tag::Users)]
    async fn register(
        &self,
        request: &Request,
        body: Draft<NewUser>,
    ) -> Result<Created<Account>, Refused<Register>> {
        let new = body.check(|new| self.phone_mistake(new.phone.as_ref()))?;
        let region = self.authority.region();
        let new = Registration {
            name: new.name,
            email: new.email,
            phone: new.phone.and_then(|phone| phone::normalise(&phone, region)),
            password: new.password,
        };
        let account = self.authority.register(new, place(request)).await?;
        let location = format!("{PREFIX}/users/{}", account.id);
        Ok(Created::new(rendered(account)?, location))
    }

    /// Get my account
    ///
    /// All of it but the password.
    #[oai(path = "/users/me", method = "get", operation_id = "getMe", tag = Tag::Users)]
    async fn get_me(&self, signed_in: SignedIn) -> Result<Fetched<Account>, Refused<GetMe>> {
        let account = super::get(self.authority.db().read(), signed_in.caller.id).await;
        Ok(Fetched::new(rendered(account.map_err(gone)?)?))
    }

    /// Change my account
    ///
    /// Changes what is named: `null` removes the phone number. The password has a call of its own.
    #[oai(path = "/users/me", method = "patch", operation_id = "updateMe", tag = Tag::Users)]
    async fn update_me(
        &self,
        signed_in: SignedIn,
        /// Change it only if its entity tag still names this revision.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Draft<UserChange>,
    ) -> Result<Changed<Account>, Refused<UpdateMe>> {
        let change = body.check(|change| self.phone_mistake(change.phone.value()))?;
        let region = self.authority.region();
        let change = Profile {
            name: change.name,
            email: change.email,
            phone: change
                .phone
                .map(|phone| phone::normalise(&phone, region).unwrap_or(phone)),
        };
        let (id, if_match) = (signed_in.caller.id, IfMatch::new(if_match.0));
        let now = self.authority.now();
        let (change, if_match) = (&change, &if_match);
        let changed = self.authority.db().write(|transaction| async move {
            super::update(&transaction, id, change.clone(), if_match, now).await
        });
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
        /// Delete it only if its entity tag still names this revision.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Done, Refused<DeleteMe>> {
        let if_match = IfMatch::new(if_match.0);
        self.authority
            .delete_account(&signed_in, &if_match)
            .await
            .map_err(gone)?;
        Ok(Done)
    }

    /// Change my password
    ///
    /// Signs out everywhere else; this session goes on. A wrong current password counts as a
    /// failed sign-in.
    #[oai(
        path = "/users/me/password",
        method = "put",
        operation_id = "changePassword",
        tag = Tag::Users
    )]
    async fn change_password(
        &self,
        request: &Request,
        signed_in: SignedIn,
        body: Body<PasswordChange>,
    ) -> Result<Done, Refused<ChangePassword>> {
        let Body(PasswordChange {
            current_password,
            new_password,
        }) = body;
        let place = place(request);
        let changed =
            self.authority
                .change_password(&signed_in, current_password, new_password, place);
        changed.await.map_err(gone)?;
        Ok(Done)
    }

    /// Get an account
    ///
    /// Its public part: id and name. Admins see all of it.
    #[oai(path = "/users/:id", method = "get", operation_id = "getUser", tag = Tag::Users)]
    async fn get_user(
        &self,
        signed_in: MaybeSignedIn,
        /// The account's id.
        id: Path<Uuid>,
    ) -> Result<Fetched<User>, Refused<GetUser>> {
        let account = super::get(self.authority.db().read(), id.0).await?;
        let revision = account.revision;
        let sees_all = signed_in
            .0
            .is_some_and(|signed_in| signed_in.caller.is_admin());
        let user = User::of(account, sees_all);
        Ok(Fetched::new(Rendered::tagged(&user, revision)?))
    }

    /// List accounts
    ///
    /// Admins only: the accounts that are not deleted, newest first.
    #[oai(path = "/users", method = "get", operation_id = "listUsers", tag = Tag::Users)]
    async fn list_users(
        &self,
        _admin: Admin,
        /// How many accounts to return at most.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
        /// `meta.next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Answered<Accounts>, Refused<ListUsers>> {
        let after = cursor
            .0
            .map(|text| Cursor::decode(&text, LIST))
            .transpose()?;
        let (accounts, next) = super::list(self.authority.db().read(), after, limit.0).await?;
        let page = Accounts {
            data: accounts.into_iter().map(Account::of).collect(),
            meta: PageMeta {
                next_cursor: next.map(|next| next.encode(LIST)),
            },
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Change an account's role or disable it
    ///
    /// Admins only. A disabled account is signed out everywhere and cannot sign in. A new role
    /// makes the account's access tokens invalid; refreshing gets ones with the new role. At least
    /// one active admin must remain.
    #[oai(path = "/users/:id", method = "patch", operation_id = "updateUser", tag = Tag::Users)]
    async fn update_user(
        &self,
        _admin: Admin,
        /// The account's id.
        id: Path<Uuid>,
        /// Change it only if its entity tag still names this revision.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<StandingChange>,
    ) -> Result<Changed<Account>, Refused<UpdateUser>> {
        let change = Standing {
            role: body.0.role.map(Role::into),
            disabled: body.0.disabled,
        };
        let if_match = IfMatch::new(if_match.0);
        let account = self.authority.set_standing(id.0, change, &if_match).await?;
        Ok(Changed::new(rendered(account)?))
    }
}

/// An account that another process has just deleted cannot act any more.
fn gone(failure: Failure) -> Failure {
    match failure.code {
        Code::NotFound => Failure::new(Code::Unauthenticated, "The account has been deleted."),
        _ => failure,
    }
}

fn place(request: &Request) -> Place {
    Place::of(
        request
            .extensions()
            .get::<ClientAddr>()
            .and_then(|client| client.0),
    )
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

fn rendered(account: Model) -> Result<Rendered, Failure> {
    let revision = account.revision;
    Rendered::tagged(&Account::of(account), revision)
}

/// What it takes to register.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// What others see.
    #[oai(validator(min_length = 1, max_length = 40))]
    #[serde(deserialize_with = "text::normalised")]
    #[validate(length(min = 1, max = 40), custom(function = text::line))]
    name: String,
    /// To sign in with. Unique, whatever its case.
    #[oai(validator(max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[serde(deserialize_with = "text::normalised")]
    #[validate(length(max = 254), custom(function = super::email::plausible))]
    email: String,
    /// To sign in with: in E.164 form, or as it is dialled in the server's default region. Unique.
    #[oai(validator(max_length = 32))]
    #[serde(default, deserialize_with = "text::normalised_if_present")]
    phone: Option<String>,
    /// Taken as it is, character by character.
    #[oai(validator(min_length = 8, max_length = 128))]
    #[validate(length(min = 8, max = 128))]
    password: String,
}

impl Example for NewUser {
    fn example() -> Self {
        NewUser {
            name: "露西".into(),
            email: "luxi@qq.com".into(),
            phone: Some("16666666661".into()),
            password: "correct horse battery staple".into(),
        }
    }
}

/// A change of one's own account. What is absent stays as it is.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct UserChange {
    /// What others see.
    #[oai(validator(min_length = 1, max_length = 40))]
    #[serde(default, deserialize_with = "text::normalised_if_present")]
    #[validate(length(min = 1, max = 40), custom(function = text::line))]
    name: Option<String>,
    /// To sign in with. Unique, whatever its case.
    #[oai(validator(max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[serde(default, deserialize_with = "text::normalised_if_present")]
    #[validate(length(max = 254), custom(function = super::email::plausible))]
    email: Option<String>,
    /// To sign in with, as when registering; null removes it.
    #[oai(validator(max_length = 32))]
    #[serde(default)]
    phone: Patch<String>,
}

impl Example for UserChange {
    fn example() -> Self {
        UserChange {
            name: Some("Lucy".into()),
            email: None,
            phone: Patch::Set("+8616666666661".into()),
        }
    }
}

/// A new password, and proof of the old one.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The password that the account has.
    #[oai(validator(max_length = 128))]
    #[validate(length(max = 128))]
    current_password: String,
    /// The one that it is to have; taken as it is, character by character.
    #[oai(validator(min_length = 8, max_length = 128))]
    #[validate(length(min = 8, max = 128))]
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        PasswordChange {
            current_password: "correct horse battery staple".into(),
            new_password: "a better horse and a bigger battery".into(),
        }
    }
}

/// What admins change. What is absent stays as it is.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct StandingChange {
    #[serde(default, deserialize_with = "present")]
    role: Option<Role>,
    /// Whether it is kept from signing in.
    #[serde(default, deserialize_with = "present")]
    disabled: Option<bool>,
}

impl Example for StandingChange {
    fn example() -> Self {
        StandingChange {
            role: Some(Role::Admin),
            disabled: None,
        }
    }
}

/// A value that may be absent but not null.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// What an account may do.
#[derive(Debug, Clone, Copy, Enum, Deserialize, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Admin,
}

impl From<Role> for super::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::User => super::Role::User,
            Role::Admin => super::Role::Admin,
        }
    }
}

impl From<super::Role> for Role {
    fn from(role: super::Role) -> Self {
        match role {
            super::Role::User => Role::User,
            super::Role::Admin => Role::Admin,
        }
    }
}

/// An account as its owner and admins see it.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct Account {
    /// The account's id.
    id: Uuid,
    /// What others see; not unique.
    name: String,
    /// To sign in with.
    email: String,
    /// To sign in with, in E.164 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    role: Role,
    /// Whether it is kept from signing in.
    disabled: bool,
    /// When it was registered.
    created_at: Time,
    /// When it last changed.
    updated_at: Time,
}

impl Account {
    fn of(account: Model) -> Account {
        Account {
            id: account.id,
            name: account.name.unwrap_or_default(),
            email: account.email.unwrap_or_default(),
            phone: account.phone,
            role: account.role.into(),
            disabled: account.disabled_at.is_some(),
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

impl Example for Account {
    fn example() -> Self {
        let created_at = Time(1_776_282_436_000_000);
        Account {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            name: "露西".into(),
            email: "luxi@qq.com".into(),
            phone: Some("+8616666666661".into()),
            role: Role::User,
            disabled: false,
            created_at,
            updated_at: created_at,
        }
    }
}

/// A page of accounts.
#[derive(Object, Serialize)]
#[oai(example)]
struct Accounts {
    /// The accounts of this page, newest first.
    data: Vec<Account>,
    meta: PageMeta,
}

impl Example for Accounts {
    fn example() -> Self {
        Accounts {
            data: vec![Account::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

/// An account as others see it: `id` and `name`. The rest is there for admins only.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct User {
    /// The account's id.
    id: Uuid,
    /// What others see; not unique.
    name: String,
    /// To sign in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// In E.164 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Whether it is kept from signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    /// When it was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Time>,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Time>,
}

impl User {
    fn of(account: Model, sees_all: bool) -> User {
        let all = Account::of(account);
        User {
            id: all.id,
            name: all.name,
            email: sees_all.then_some(all.email),
            phone: all.phone.filter(|_| sees_all),
            role: sees_all.then_some(all.role),
            disabled: sees_all.then_some(all.disabled),
            created_at: sees_all.then_some(all.created_at),
            updated_at: sees_all.then_some(all.updated_at),
        }
    }
}

impl Example for User {
    fn example() -> Self {
        User::of(
            Model {
                id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
                name: Some("露西".into()),
                email: None,
                email_key: None,
                phone: None,
                password_hash: None,
                role: super::Role::User,
                disabled_at: None,
                deleted_at: None,
                revision: 1,
                created_at: Time(0),
                updated_at: Time(0),
            },
            false,
        )
    }
}
