//! Accounts over HTTP.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::entity::Model;
use super::policy::{self, Owner};
use super::{Profile, Standing, email, phone};
use crate::auth::accounts::Registration;
use crate::auth::guard::{Admin, MaybeSignedIn};
use crate::auth::{Accounts, SignedIn};
use crate::clock::Time;
use crate::failure::{Code, Failure, FieldError};
use crate::http::API;
use crate::http::body::{Body, Unchecked};
use crate::http::exact;
use crate::http::policy::{Links, operations};
use crate::http::rates::Metered;
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Changed, Created, Done, Fetched, Rendered};
use crate::http::spec::Tag;
use crate::network::Network;
use crate::page::{PageMeta, Paging};
use crate::patch::Patch;
use crate::precondition::IfMatch;
use crate::text;

/// The list of accounts, for its cursors.
const LIST: &str = "users";

/// Accounts.
pub struct UsersApi {
    pub accounts: Accounts,
}

operations! {
    CreateUser: Forbidden, AccountTaken, InvalidFields, RateLimited => {
        links: Some(Links { status: 201, parameters: &[("user_id", "$response.body#/id")] }),
    };
    GetMe: Unauthenticated;
    UpdateMe: Unauthenticated, AccountTaken, Stale, InvalidFields;
    DeleteMe: Unauthenticated, LastAdmin, Stale;
    ChangePassword: Unauthenticated, InvalidFields, RateLimited;
    GetUser: NotFound;
    ListUsers: MalformedRequest, Forbidden;
    UpdateUser: Forbidden, NotFound, LastAdmin, Stale, InvalidFields;
}

impl UsersApi {
    /// What is wrong with a phone number that was sent, if one was.
    fn phone_mistake(&self, phone: Option<&String>) -> Vec<FieldError> {
        let region = self.accounts.region();
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
    #[oai(path = "/users", method = "post", operation_id = "createUser", tag = Tag::Users)]
    async fn create_user(
        &self,
        request: &Request,
        network: Network,
        body: Unchecked<NewUser>,
    ) -> Result<Created<Account>, Refused<CreateUser>> {
        let region = self.accounts.region();
        let e164 = |new: &NewUser| phone::normalise(new.phone.as_deref()?, region);
        let new = body.check(|new| {
            let phone = e164(new).unwrap_or_default();
            let owner = Owner {
                name: &new.name,
                email: &new.email,
                phone: &phone,
            };
            let mut mistakes = self.phone_mistake(new.phone.as_ref());
            mistakes.extend(policy::mistake("/password", &new.password, owner));
            mistakes
        })?;
        let new = Registration {
            phone: e164(&new),
            name: new.name,
            email: new.email,
            password: new.password,
        };
        let registered = self.accounts.register(new, network).await;
        Metered::tell(request, self.accounts.registration_limit(network));
        let account = registered?;
        let location = format!("{API}/users/{}", account.id);
        Ok(Created::new(rendered(account)?, location))
    }

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
        let change = body.check(|change| self.phone_mistake(change.phone.value()))?;
        let region = self.accounts.region();
        let change = Profile {
            name: change.name,
            email: change.email,
            phone: change
                .phone
                .map(|phone| phone::normalise(&phone, region).unwrap_or(phone)),
        };
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
            let mistake = policy::mistake("/new_password", &change.new_password, owner);
            mistake.into_iter().collect()
        })?;
        let changed =
            self.accounts
                .change_password(&signed_in, current_password, new_password, network);
        changed.await.map_err(gone)?;
        Ok(Done)
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

    /// List accounts
    ///
    /// Admins only: the accounts that are not deleted, newest first.
    #[oai(path = "/users", method = "get", operation_id = "listUsers", tag = Tag::Users)]
    async fn list_users(
        &self,
        _admin: Admin,
        page: Paging,
    ) -> Result<Answered<AccountPage>, Refused<ListUsers>> {
        let accounts = self.accounts.list(page.of(LIST)?).await?;
        let page = AccountPage {
            data: accounts.items.into_iter().map(Account::of).collect(),
            meta: PageMeta::new(accounts.next, LIST),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Change an account's role or disable it
    ///
    /// Admins only. A disabled account is signed out everywhere and cannot sign in. A new role
    /// makes the account's access tokens invalid; refreshing gets ones with the new role. At least
    /// one active admin must remain.
    #[oai(path = "/users/:user_id", method = "patch", operation_id = "updateUser", tag = Tag::Users)]
    async fn update_user(
        &self,
        _admin: Admin,
        /// The account's id.
        user_id: Path<Uuid>,
        if_match: IfMatch,
        body: Body<UserPatch>,
    ) -> Result<Changed<Account>, Refused<UpdateUser>> {
        let change = Standing {
            role: body.0.role.map(Role::into),
            disabled: body.0.disabled,
        };
        let account = self
            .accounts
            .set_standing(user_id.0, change, &if_match)
            .await?;
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

fn rendered(account: Model) -> Result<Rendered, Failure> {
    let revision = account.revision;
    Rendered::tagged(&Account::of(account), revision)
}

/// What it takes to register.
#[derive(Object, Deserialize, Validate)]
#[oai(
    rename = "UserInput",
    deny_unknown_fields,
    example,
    skip_serializing_if_is_none
)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// What others see.
    #[oai(validator(min_length = 1, max_length = 40))]
    #[serde(deserialize_with = "text::normalised")]
    #[validate(length(min = 1, max = 40), custom(function = text::line))]
    name: String,
    /// To sign in with. Unique, whatever its case, and whether an internationalised domain is
    /// written in its own script or as `xn--…`; shown with the former.
    #[oai(validator(max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[serde(deserialize_with = "email::normalised")]
    #[validate(length(max = 254), custom(function = email::plausible))]
    email: String,
    /// To sign in with: in E.164 form, or as it is dialled in the server's default region. Unique.
    #[oai(validator(max_length = 32))]
    #[serde(default, deserialize_with = "text::normalised_if_present")]
    phone: Option<String>,
    /// Taken as it is, character by character. Not one of the most common ones, and at least 8
    /// characters beside the account's name, email address and phone number.
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
struct AccountPatch {
    /// What others see.
    #[oai(validator(min_length = 1, max_length = 40))]
    #[serde(default, deserialize_with = "text::normalised_if_present")]
    #[validate(length(min = 1, max = 40), custom(function = text::line))]
    name: Option<String>,
    /// To sign in with, as when registering.
    #[oai(validator(max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[serde(default, deserialize_with = "email::normalised_if_present")]
    #[validate(length(max = 254), custom(function = email::plausible))]
    email: Option<String>,
    /// To sign in with, as when registering; null removes it.
    #[oai(validator(max_length = 32))]
    #[serde(default)]
    phone: Patch<String>,
}

impl Example for AccountPatch {
    fn example() -> Self {
        AccountPatch {
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
    /// The one that it is to have, as when registering.
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
struct UserPatch {
    #[serde(default, deserialize_with = "exact::word_if_present")]
    role: Option<Role>,
    /// Whether it is kept from signing in.
    #[serde(default, deserialize_with = "present")]
    disabled: Option<bool>,
}

impl Example for UserPatch {
    fn example() -> Self {
        UserPatch {
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
struct AccountPage {
    /// The accounts of this page, newest first.
    data: Vec<Account>,
    meta: PageMeta,
}

impl Example for AccountPage {
    fn example() -> Self {
        AccountPage {
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

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
    use poem::{Endpoint as _, EndpointExt as _, IntoEndpoint as _};
    use poem_openapi::OpenApiService;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::tests::{Cluster, PASSWORD, Process, admin, sign_in, user};

    struct Answer {
        status: u16,
        headers: http::HeaderMap,
        body: Value,
    }

    impl Answer {
        fn tag(&self) -> &str {
            self.headers[ETAG].to_str().unwrap()
        }

        fn pointers(&self) -> Vec<&str> {
            let errors = self.body["errors"]
                .as_array()
                .unwrap_or_else(|| panic!("{}", self.body));
            errors
                .iter()
                .filter_map(|error| error["pointer"].as_str())
                .collect()
        }
    }

    /// A request by whom the access token says, with these other headers.
    async fn send(
        process: &Process,
        token: &str,
        (method, path): (Method, &str),
        headers: &[(http::HeaderName, &str)],
        body: Value,
    ) -> Answer {
        let api = UsersApi {
            accounts: process.accounts.clone(),
        };
        let api = OpenApiService::new(api, "users", "1");
        let mut request = Request::builder().method(method).uri_str(path);
        request = request.header(CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(name.clone(), *value);
        }
        let endpoint = api
            .into_endpoint()
            .data(std::sync::Arc::new(process.tokens.clone()));
        let response = endpoint.get_response(request.body(body.to_string())).await;
        let (parts, body) = response.into_parts();
        let body = body.into_vec().await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    #[tokio::test]
    async fn registering_names_every_mistake_and_keeps_what_is_normal() {
        let (_cluster, process) = Cluster::new().await;
        let register =
            async |body: Value| send(&process, "", (Method::POST, "/users"), &[], body).await;
        let bad = json!({"name": " ", "email": "luxi", "phone": "1", "password": "short"});
        let refused = register(bad).await;
        assert_eq!(refused.status, 422);
        assert_eq!(
            refused.pointers(),
            ["/email", "/name", "/password", "/phone"]
        );
        let phone = json!({"name": "a", "email": "a@b", "phone": null, "password": PASSWORD});
        assert_eq!(register(phone).await.pointers(), ["/phone"]);

        let good = json!({
            "name": " 露西 ", "email": "Luxi@qq.com", "phone": "16666666661",
            "password": "  \u{0}💥 spaces count  ",
        });
        let made = register(good.clone()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(made.body["name"], "露西");
        assert_eq!(made.body["email"], "Luxi@qq.com");
        assert_eq!(made.body["phone"], "+8616666666661");
        assert_eq!(made.body["role"], "user");
        let id = made.body["id"].as_str().unwrap();
        assert_eq!(made.headers[LOCATION], format!("/api/v1/users/{id}"));
        assert_eq!(register(good).await.body["code"], "account_taken");
    }

    #[tokio::test]
    async fn limits_count_characters_and_end_where_they_say() {
        let (_cluster, process) = Cluster::new().await;
        let register = async |name: usize, local: usize, password: usize| {
            let domain = format!(
                "{}.{}.{}.org",
                "d".repeat(63),
                "d".repeat(63),
                "d".repeat(57)
            );
            let body = json!({
                "name": "名".repeat(name),
                "email": format!("{}@{domain}", "é".repeat(local)),
                "password": "密".repeat(password),
            });
            send(&process, "", (Method::POST, "/users"), &[], body).await
        };
        assert_eq!(register(40, 64, 128).await.status, 201);
        assert_eq!(register(1, 1, 8).await.status, 201);
        assert_eq!(
            register(41, 64, 129).await.pointers(),
            ["/name", "/password"]
        );
        assert_eq!(register(0, 2, 7).await.pointers(), ["/name", "/password"]);
        let long =
            json!({"name": "a", "email": format!("a@{}", "d.".repeat(127)), "password": PASSWORD});
        let long = send(&process, "", (Method::POST, "/users"), &[], long).await;
        assert_eq!(long.pointers().first(), Some(&"/email"));
    }

    #[tokio::test]
    async fn others_see_a_name_and_admins_see_all() {
        let (_cluster, process) = Cluster::new().await;
        let luxi = user(&process, "luxi").await;
        admin(&process, "nanxi").await;
        let mine = sign_in(&process, "luxi").await.access_token;
        let admins = sign_in(&process, "nanxi").await.access_token;
        let path = format!("/users/{}", luxi.id);
        let get = async |token: &str| {
            send(&process, token, (Method::GET, &path), &[], Value::Null)
                .await
                .body
        };
        assert_eq!(get("").await, json!({"id": luxi.id, "name": "luxi"}));
        assert_eq!(get(&mine).await, json!({"id": luxi.id, "name": "luxi"}));
        assert_eq!(get(&admins).await["email"], "luxi@example.org");

        let list = (Method::GET, "/users?limit=1");
        let page = send(&process, &admins, list.clone(), &[], Value::Null)
            .await
            .body;
        assert_eq!(page["data"][0]["name"], "nanxi");
        let cursor = page["meta"]["next_cursor"].as_str().unwrap();
        let next = format!("/users?limit=1&cursor={cursor}");
        let page = send(&process, &admins, (Method::GET, &next), &[], Value::Null)
            .await
            .body;
        assert_eq!(page["data"][0]["name"], "luxi");
        assert_eq!(page["meta"], json!({}));
        assert_eq!(
            send(&process, &mine, list, &[], Value::Null).await.status,
            403
        );
    }

    #[tokio::test]
    async fn a_stale_tag_changes_nothing() {
        let (_cluster, process) = Cluster::new().await;
        user(&process, "luxi").await;
        let token = sign_in(&process, "luxi").await.access_token;
        let me = |method: Method| (method, "/users/me");
        let before = send(&process, &token, me(Method::GET), &[], Value::Null).await;
        let patch = async |tag: &str, body: Value| {
            send(
                &process,
                &token,
                me(Method::PATCH),
                &[(IF_MATCH, tag)],
                body,
            )
            .await
        };
        let changed = patch(
            before.tag(),
            json!({"name": "Lucy", "phone": "16666666661"}),
        )
        .await;
        assert_eq!(
            (changed.status, &changed.body["name"]),
            (200, &json!("Lucy"))
        );
        assert_ne!(changed.tag(), before.tag());
        assert_eq!(patch(before.tag(), json!({"name": "L"})).await.status, 412);
        let cleared = patch(changed.tag(), json!({"phone": null})).await;
        assert_eq!(cleared.body.get("phone"), None);
        assert_eq!(
            patch("*", json!({"name": null})).await.pointers(),
            ["/name"]
        );
        assert_eq!(
            patch("*", json!({"email": "x", "phone": "x"}))
                .await
                .pointers(),
            ["/email", "/phone"]
        );

        let stale = [(IF_MATCH, before.tag())];
        let kept = send(&process, &token, me(Method::DELETE), &stale, Value::Null).await;
        assert_eq!(kept.status, 412);
        let deleted = send(&process, &token, me(Method::DELETE), &[], Value::Null).await;
        assert_eq!(deleted.status, 204);
        let gone = send(&process, &token, me(Method::GET), &[], Value::Null).await;
        assert_eq!(gone.status, 401);
    }

    #[tokio::test]
    async fn admins_change_role_and_standing_of_others() {
        let (_cluster, process) = Cluster::new().await;
        let luxi = user(&process, "luxi").await;
        admin(&process, "nanxi").await;
        let token = sign_in(&process, "nanxi").await.access_token;
        let path = format!("/users/{}", luxi.id);
        let patch =
            async |body: Value| send(&process, &token, (Method::PATCH, &path), &[], body).await;
        let changed = patch(json!({"role": "admin", "disabled": true})).await.body;
        assert_eq!(
            (&changed["role"], &changed["disabled"]),
            (&json!("admin"), &json!(true))
        );
        for (bad, pointer) in [
            (json!({"role": "root"}), "/role"),
            (json!({"role": null}), "/role"),
            (json!({"role": 1}), "/role"),
            (json!({"disabled": "true"}), "/disabled"),
            (json!({"name": "x"}), "/name"),
        ] {
            assert_eq!(patch(bad).await.pointers(), [pointer]);
        }
        let password = json!({"current_password": "wrong-horse", "new_password": "short"});
        let change = (Method::PUT, "/users/me/password");
        let refused = send(&process, &token, change.clone(), &[], password).await;
        assert_eq!(refused.pointers(), ["/new_password"]);
        let password = json!({"current_password": "wrong-horse", "new_password": "long enough"});
        let refused = send(&process, &token, change.clone(), &[], password).await;
        assert_eq!(refused.pointers(), ["/current_password"]);
        let password = json!({"current_password": PASSWORD, "new_password": "long enough"});
        assert_eq!(
            send(&process, &token, change, &[], password).await.status,
            204
        );
    }
}
