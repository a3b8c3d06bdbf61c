//! The schema's history: one file per change, applied in order, each of which can be taken back.
//!
//! Nothing here imports an entity: a migration must mean the same for ever.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{Migration, MigrationStatus, MigratorTrait};

mod m0001_users;
mod m0002_sessions;
mod m0003_questions;
mod m0004_ballots;
mod m0005_tallies;
mod m0006_limits;
mod m0007_locks;
mod m0008_search;
mod m0009_status;
mod m0010_opens;
mod m0011_due;
mod m0012_deleted;
mod m0013_revocation_numbers;
mod m0014_secrets;
mod m0015_email_keys;
mod table;

/// Brings a database's schema up, down, or tells where it stands.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_users::Migration),
            Box::new(m0002_sessions::Migration),
            Box::new(m0003_questions::Migration),
            Box::new(m0004_ballots::Migration),
            Box::new(m0005_tallies::Migration),
            Box::new(m0006_limits::Migration),
            Box::new(m0007_locks::Migration),
            Box::new(m0008_search::Migration),
            Box::new(m0009_status::Migration),
            Box::new(m0010_opens::Migration),
            Box::new(m0011_due::Migration),
            Box::new(m0012_deleted::Migration),
            Box::new(m0013_revocation_numbers::Migration),
            Box::new(m0014_secrets::Migration),
            Box::new(m0015_email_keys::Migration),
        ]
    }
}
