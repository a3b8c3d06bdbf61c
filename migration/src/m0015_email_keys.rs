//! Gives an email address the same key in both forms of its domain: `info@xn--dmin-moa0i.com`, as
//! browsers send it, and `info@dömäin.com`, as people type it when they sign in.
//!
//! If two accounts have the same address in different forms, the older one keeps it. The newer one
//! keeps the displayed address, but loses the key for signing in; the log names it.
//!
//! An address in Unicode form keeps its key, so that processes of the previous version still find
//! it.

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::prelude::Uuid;
use sea_orm_migration::sea_orm::{ConnectionTrait, QueryResult};
use unicode_normalization::UnicodeNormalization as _;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// How many accounts one query reads.
const PIECE: u64 = 1000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rekey(manager.get_connection(), key).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rekey(manager.get_connection(), fold).await
    }
}

struct Account {
    /// The time of creation and the id; the older of two accounts is the smaller one.
    age: (i64, Uuid),
    email: String,
    key: Option<String>,
}

/// Gives every account the key of its address, oldest accounts first. Can be run again after an
/// interruption.
async fn rekey(db: &impl ConnectionTrait, key: fn(&str) -> String) -> Result<(), DbErr> {
    let mut last = None;
    loop {
        let accounts = accounts_after(db, last).await?;
        let Some(end) = accounts.last() else {
            return Ok(());
        };
        last = Some(end.age);
        for account in accounts {
            let key = key(&account.email);
            if account.key.as_ref() != Some(&key) {
                claim(db, &account, key).await?;
            }
        }
    }
}

async fn accounts_after(
    db: &impl ConnectionTrait,
    last: Option<(i64, Uuid)>,
) -> Result<Vec<Account>, DbErr> {
    let mut query = Query::select()
        .columns(["id", "created_at", "email", "email_key"])
        .from("users")
        .and_where(Expr::col("email").is_not_null())
        .order_by("created_at", Order::Asc)
        .order_by("id", Order::Asc)
        .limit(PIECE)
        .take();
    if let Some((created_at, id)) = last {
        let same_moment = Expr::col("created_at").eq(created_at);
        let later = Expr::col("created_at").gt(created_at);
        query.and_where(later.or(same_moment.and(Expr::col("id").gt(id))));
    }
    let rows = db.query_all(&query).await?;
    let account = |row: &QueryResult| {
        Ok(Account {
            age: (row.try_get("", "created_at")?, row.try_get("", "id")?),
            email: row.try_get("", "email")?,
            key: row.try_get("", "email_key")?,
        })
    };
    rows.iter().map(account).collect()
}

/// Gives an account this key, unless an older account has it.
async fn claim(db: &impl ConnectionTrait, account: &Account, key: String) -> Result<(), DbErr> {
    let holder = Query::select()
        .columns(["created_at", "id"])
        .from("users")
        .and_where(Expr::col("email_key").eq(key.as_str()))
        .take();
    let holder = db.query_one(&holder).await?;
    let holder: Option<(i64, Uuid)> = match holder {
        Some(row) => Some((row.try_get("", "created_at")?, row.try_get("", "id")?)),
        None => None,
    };
    match holder {
        None => set_key(db, account.age.1, Some(key)).await,
        Some(older) if older < account.age => {
            warn(older.1, account.age.1);
            set_key(db, account.age.1, None).await
        }
        Some(newer) => {
            warn(account.age.1, newer.1);
            set_key(db, newer.1, None).await?;
            set_key(db, account.age.1, Some(key)).await
        }
    }
}

async fn set_key(db: &impl ConnectionTrait, id: Uuid, key: Option<String>) -> Result<(), DbErr> {
    let update = Query::update()
        .table("users")
        .value("email_key", key)
        .and_where(Expr::col("id").eq(id))
        .take();
    db.execute(&update).await?;
    Ok(())
}

fn warn(older: Uuid, newer: Uuid) {
    tracing::warn!(
        %older,
        %newer,
        "two accounts have the same email address; only the older one can sign in by it"
    );
}

/// The key of an address in this version: the local part case-folded, the domain in lower case and
/// in its Unicode form (UTS #46).
fn key(email: &str) -> String {
    let parts = email.rsplit_once('@');
    match parts.and_then(|(local, domain)| Some((local, unicode(domain)?))) {
        Some((local, domain)) => format!("{}@{domain}", fold(local)),
        None => fold(email),
    }
}

fn unicode(domain: &str) -> Option<String> {
    let (bytes, letters) = (domain.as_bytes(), AsciiDenyList::STD3);
    let uts46 = Uts46::new();
    let ascii = uts46.to_ascii(bytes, letters, Hyphens::CheckFirstLast, DnsLength::Verify);
    ascii.ok()?;
    let (domain, valid) = uts46.to_unicode(bytes, letters, Hyphens::CheckFirstLast);
    valid.ok().map(|()| domain.into_owned())
}

/// The key of an address in the previous version.
fn fold(text: &str) -> String {
    let text: String = text.trim().nfc().collect();
    caseless::default_case_fold_str(&text).nfc().collect()
}
