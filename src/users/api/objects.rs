//! What requests about accounts send, where no verb takes it as it is, and what they answer.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use crate::clock::Time;
use crate::input::Line;
use crate::page::PageMeta;
use crate::users::entity::Model;
use crate::users::password::{CurrentPassword, NewPassword};
use crate::users::{Role, Standing};

/// A new password, and proof of the old one.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password that the account has.
    #[validate(nested)]
    pub current_password: CurrentPassword,
    /// The one that it is to have, as when registering.
    #[validate(nested)]
    pub new_password: NewPassword,
}

impl Example for PasswordChange {
    fn example() -> Self {
        PasswordChange {
            current_password: CurrentPassword::new("correct horse battery staple".into()),
            new_password: NewPassword::new("a better horse and a bigger battery".into()),
        }
    }
}

/// A code that was sent by mail.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct EmailVerificationInput {
    /// The code in the newest message. Its case and its hyphen do not matter.
    #[validate(nested)]
    pub code: Line<1, 40>,
}

/// Proof that it is the account's owner who wants to delete it.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct DeletionInput {
    /// The password that the account has.
    #[validate(nested)]
    pub current_password: CurrentPassword,
}

impl Example for EmailVerificationInput {
    fn example() -> Self {
        EmailVerificationInput {
            code: Line::new("7Q2MX-C0V9R"),
        }
    }
}

impl Example for DeletionInput {
    fn example() -> Self {
        DeletionInput {
            current_password: CurrentPassword::new("correct horse battery staple".into()),
        }
    }
}

/// An account as its owner and admins see it.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
pub struct Account {
    /// The account's id.
    id: Uuid,
    /// What others see; not unique. Empty for a guest that has not given any.
    name: String,
    /// Whether it is a guest, who votes without an account.
    guest: bool,
    /// To sign in with. Absent for guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Whether the owner has proved to read the email address.
    email_verified: bool,
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
    pub fn of(account: Model) -> Account {
        Account {
            id: account.id,
            guest: account.is_guest(),
            email_verified: account.is_verified(),
            name: account.name.unwrap_or_default(),
            email: account.email,
            phone: account.phone,
            role: account.standing.role(),
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
            guest: false,
            email: Some("luxi@qq.com".into()),
            email_verified: true,
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
pub struct AccountPage {
    /// The accounts of this page, newest first.
    pub data: Vec<Account>,
    pub meta: PageMeta,
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
pub struct User {
    /// The account's id.
    id: Uuid,
    /// What others see; not unique. Empty for a guest that has not given any.
    name: String,
    /// Whether it is a guest, who votes without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<bool>,
    /// To sign in with. Absent for guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Whether the owner has proved to read the email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
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
    pub fn of(account: Model, sees_all: bool) -> User {
        let all = Account::of(account);
        User {
            id: all.id,
            name: all.name,
            guest: sees_all.then_some(all.guest),
            email: all.email.filter(|_| sees_all),
            email_verified: sees_all.then_some(all.email_verified),
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
                verified_email_key: None,
                phone: None,
                password_hash: None,
                standing: Standing::User,
                guest_expires_at: None,
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
