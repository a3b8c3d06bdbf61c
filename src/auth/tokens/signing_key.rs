//! The table of signing keys, shared by all processes of a database.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// The `kid` of the tokens it signed.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub algorithm: String,
    /// HS256: base64. Otherwise: the PKCS#8 private key in PEM.
    #[sea_orm(column_type = "Text")]
    pub secret: KeyMaterial,
    pub created_at: Time,
    /// Since when it only checks tokens and signs none.
    pub retired_at: Option<Time>,
    /// When, after its retirement, the last token that it signed has expired.
    pub expires_at: Option<Time>,
}

impl ActiveModelBehavior for ActiveModel {}

/// A secret or private key; never shown.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct KeyMaterial(pub String);

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaterial(…)")
    }
}
