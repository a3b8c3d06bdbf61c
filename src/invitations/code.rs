//! The table of the codes of invitations, of which only hashes are stored.
//!
//! An invitation that is sent by mail gets a code with each attempt to send it, because an attempt
//! that seems to have failed may have arrived. All codes of an invitation lead to the same guest.

use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::base32;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitation_codes")]
pub struct Model {
    /// SHA-256 of the code's digits.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Binary(32)")]
    pub code_hash: Vec<u8>,
    pub invitation_id: Uuid,
}

impl ActiveModelBehavior for ActiveModel {}

/// A new code: 26 digits, which have 130 random bits.
pub fn random() -> String {
    base32::random([5, 5, 5, 5, 6])
}

/// The stored form of a code, however it was typed.
pub fn hash(typed: &str) -> Vec<u8> {
    Sha256::digest(base32::digits(typed)).to_vec()
}
