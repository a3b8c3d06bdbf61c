//! The table of messages, those that wait and those that are done.

use poem_openapi::Enum;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::language::Language;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outgoing_mail")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: Kind,
    /// What the message is about, where its kind needs more than the recipient to be written: the id
    /// of an account, for example.
    pub about: Option<Uuid>,
    /// An email address.
    pub recipient: String,
    pub language: Language,
    pub status: Status,
    pub attempts: i32,
    /// When the next attempt may begin; absent once the message is done. While a process sends the
    /// message, this is when other processes may try, because that process may have been killed.
    pub due_at: Option<Time>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub created_at: Time,
    /// When the message is of no use any more.
    pub expires_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}

// The documentation of `mail` has the recipe for another kind.
/// What a message is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Enum,
    Serialize,
    Deserialize,
)]
#[oai(rename = "MessageKind", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(24))",
    rename_all = "snake_case"
)]
pub enum Kind {
    /// A link to choose a new password.
    PasswordReset,
    /// A code that verifies the recipient's address.
    EmailVerification,
    /// To the address that an account had before.
    AddressChanged,
    /// To the owner of an account that has another password.
    PasswordChanged,
    /// An invitation to vote on a question.
    Invitation,
}

impl Kind {
    /// Whether somebody sits in front of a screen and waits for the message. Such messages do not
    /// queue behind the others.
    pub fn is_awaited(self) -> bool {
        match self {
            Kind::PasswordReset | Kind::EmailVerification => true,
            Kind::AddressChanged | Kind::PasswordChanged | Kind::Invitation => false,
        }
    }
}

/// What has become of a message.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Enum,
    Serialize,
    Deserialize,
)]
#[oai(rename = "MessageStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(8))",
    rename_all = "snake_case"
)]
pub enum Status {
    /// It waits to be sent, for the first time or again.
    Queued,
    /// The mail server has accepted it.
    Sent,
    /// The mail server has refused it for good.
    Dead,
    /// The mail server did not accept it in time.
    Expired,
}
