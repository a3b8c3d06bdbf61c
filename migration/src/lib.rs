//! The migrations of the schema: one file for each, applied in order and revertible.
//!
//! No migration imports an entity, because a migration must never change its meaning.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigratorTrait, SchemaManager};

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
mod m0016_usage;
mod m0017_search_beginnings;
mod m0018_methods;
mod m0019_mail;
mod m0020_ballot_changes;
mod m0021_electorates;
mod m0022_guests;
mod m0023_invitations;
mod m0024_anonymous;
mod m0025_lists;
mod table;

/// Applies and reverts migrations, and lists those that are applied.
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
            Box::new(m0016_usage::Migration),
            Box::new(m0017_search_beginnings::Migration),
            Box::new(m0018_methods::Migration),
            Box::new(m0019_mail::Migration),
            Box::new(m0020_ballot_changes::Migration),
            Box::new(m0021_electorates::Migration),
            Box::new(m0022_guests::Migration),
            Box::new(m0023_invitations::Migration),
            Box::new(m0024_anonymous::Migration),
            Box::new(m0025_lists::Migration),
        ]
    }
}

/// The tables that a migration creates, and that are dropped when it is reverted. Columns that it
/// adds to other tables are not listed.
pub fn tables_of(migration: &str) -> &'static [&'static str] {
    match migration {
        "m0001_users" => &["users"],
        "m0002_sessions" => &["sessions", "refresh_tokens", "revocations", "signing_keys"],
        // `m0008_search` has replaced its table of terms.
        "m0003_questions" => &["questions", "choices"],
        "m0004_ballots" => &["ballots", "ballot_marks"],
        "m0005_tallies" => &["question_shards", "choice_shards"],
        "m0006_limits" => &["limit_cells"],
        "m0007_locks" => &["locks"],
        // Derived from the texts of the questions, and rebuilt from them.
        "m0008_search" => &[],
        "m0013_revocation_numbers" => &["revocation_slots"],
        "m0014_secrets" => &["secrets", "known_networks"],
        "m0016_usage" => &["author_usage"],
        "m0018_methods" => &["profile_shards"],
        "m0019_mail" => &["outgoing_mail", "account_codes"],
        "m0022_guests" => &["network_ballots"],
        "m0023_invitations" => &["invitations", "invitation_codes", "invitation_refusals"],
        "m0024_anonymous" => &["anonymous_ballots", "anonymous_marks"],
        _ => &[],
    }
}
