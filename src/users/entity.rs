//! The table of accounts and guests.

use poem_openapi::Enum;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Absent, as are email, phone and password, once the account is deleted.
    pub name: Option<String>,
    pub email: Option<String>,
    /// The email address as it is compared: its [key](super::email::key). Absent, too, where an
    /// older account has the same address in another form.
    #[sea_orm(unique)]
    pub email_key: Option<String>,
    /// The key of the address that its owner has proved to read. The address of the account is
    /// verified where both keys are the same.
    pub verified_email_key: Option<String>,
    /// In E.164 form.
    #[sea_orm(unique)]
    pub phone: Option<String>,
    pub password_hash: Option<String>,
    #[sea_orm(column_name = "role")]
    pub standing: Standing,
    /// When a guest is removed unless it is used before; absent for accounts.
    pub guest_expires_at: Option<Time>,
    pub disabled_at: Option<Time>,
    pub deleted_at: Option<Time>,
    pub revision: i32,
    pub created_at: Time,
    pub updated_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    /// May change every question and manage accounts.
    Admin,
}

/// A guest, or an account with its role: what the table and access tokens say of somebody.
///
/// Processes of the version before know no guests. They cannot read such a row or token, and so
/// never take a guest for an account.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "lowercase"
)]
pub enum Standing {
    /// May vote where anyone may, and has neither an address nor a password.
    Guest,
    User,
    Admin,
}

impl Standing {
    pub fn role(self) -> Role {
        match self {
            Standing::Guest | Standing::User => Role::User,
            Standing::Admin => Role::Admin,
        }
    }
}

impl From<Role> for Standing {
    fn from(role: Role) -> Standing {
        match role {
            Role::User => Standing::User,
            Role::Admin => Standing::Admin,
        }
    }
}

impl Model {
    /// Whether this is a guest and no account.
    pub fn is_guest(&self) -> bool {
        self.standing == Standing::Guest
    }

    /// Whether the account may sign in and act.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none() && self.deleted_at.is_none()
    }

    /// Whether its owner has proved to read the email address.
    pub fn is_verified(&self) -> bool {
        self.email_key.is_some() && self.email_key == self.verified_email_key
    }
}
