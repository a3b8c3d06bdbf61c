//! The table of networks that accounts have signed in from.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_networks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// A keyed hash of account and network.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Binary(32)")]
    pub network: Vec<u8>,
    /// When the account signed in from there, at most a day before it last did.
    pub seen_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}
