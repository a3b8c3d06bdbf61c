//! The same statements on three engines.

use std::future::Future;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Refused;
use crate::objects::{Author, Choice, Question};

pub trait Store: Clone + Send + Sync + 'static {
    fn question(&self, id: Uuid) -> impl Future<Output = sqlx::Result<Option<Question>>> + Send;
    fn newest(&self, limit: i64) -> impl Future<Output = sqlx::Result<Vec<Question>>> + Send;
    /// Whether it is the user's first ballot on the question.
    fn vote(
        &self,
        question: Uuid,
        user: Uuid,
        choice: Uuid,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, Refused>> + Send;
    /// The id and the hash of the password.
    fn account(
        &self,
        email: &str,
    ) -> impl Future<Output = sqlx::Result<Option<(Uuid, String)>>> + Send;
    fn remember(
        &self,
        hash: &str,
        user: Uuid,
        expires: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

const COLUMNS: &str = "q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, \
    q.updated_at, u.id, u.name, c.id, c.choice_text, c.position, c.votes";
const JOIN: &str = "JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id";

/// A statement of which `?` are the parameters.
fn statement(numbered: bool, text: &str) -> &'static str {
    let mut sql = String::new();
    let mut number = 0;
    for character in text.chars() {
        sql.push(character);
        if character == '?' && numbered {
            number += 1;
            sql.pop();
            sql.push_str(&format!("${number}"));
        }
    }
    sql.leak()
}

struct Statements {
    question: &'static str,
    newest: &'static str,
    insert: &'static str,
    more: &'static str,
    count: &'static str,
    before: &'static str,
    open: &'static str,
    fewer: &'static str,
    change: &'static str,
    account: &'static str,
    remember: &'static str,
}

impl Statements {
    fn new(numbered: bool, ignore: &str, conflict: &str, lock: &str) -> Statements {
        let of = |text: &str| statement(numbered, text);
        Statements {
            question: of(&format!(
                "SELECT {COLUMNS} FROM questions q {JOIN} WHERE q.id = ? ORDER BY c.position"
            )),
            newest: of(&format!(
                "SELECT {COLUMNS} \
                 FROM (SELECT * FROM questions ORDER BY created_at DESC, id DESC LIMIT ?) q {JOIN} \
                 ORDER BY q.created_at DESC, q.id DESC, c.position"
            )),
            insert: of(&format!(
                "INSERT {ignore} INTO ballots VALUES (?, ?, ?, ?, ?) {conflict}"
            )),
            more: of("UPDATE choices SET votes = votes + 1 WHERE id = ? AND question_id = ?"),
            count: of("UPDATE questions SET ballot_count = ballot_count + 1 \
                 WHERE id = ? AND closed_at IS NULL"),
            before: of(&format!(
                "SELECT choice_id FROM ballots WHERE question_id = ? AND user_id = ? {lock}"
            )),
            open: of(&format!(
                "SELECT closed_at FROM questions WHERE id = ? {lock}"
            )),
            fewer: of("UPDATE choices SET votes = votes - 1 WHERE id = ?"),
            change: of("UPDATE ballots SET choice_id = ?, updated_at = ? \
                 WHERE question_id = ? AND user_id = ?"),
            account: of("SELECT id, password_hash FROM users WHERE email = ?"),
            remember: of("INSERT INTO refresh_tokens VALUES (?, ?, ?)"),
        }
    }
}

const CLOSED: Refused = Refused::Status(StatusCode::CONFLICT);
const NO_CHOICE: Refused = Refused::Status(StatusCode::UNPROCESSABLE_ENTITY);

macro_rules! store {
    ($name:ident, $database:ty, $options:ty, $id:ty, $begin:expr, $statements:expr,
     $counters_first:literal, $connect:expr) => {
        pub mod $name {
            use std::sync::Arc;

            use super::*;

            #[derive(Clone)]
            pub struct Pool(sqlx::Pool<$database>, Arc<Statements>);

            type Row = (
                $id,
                String,
                Option<DateTime<Utc>>,
                i64,
                DateTime<Utc>,
                DateTime<Utc>,
                $id,
                String,
                $id,
                String,
                i32,
                i64,
            );

            type Transaction = sqlx::Transaction<'static, $database>;

            fn questions_of(rows: Vec<Row>) -> Vec<Question> {
                let mut questions: Vec<Question> = Vec::new();
                for row in rows {
                    let id = Uuid::from(row.0);
                    if questions.last().is_none_or(|last| last.id != id) {
                        questions.push(Question {
                            id,
                            question_text: row.1,
                            author: Author {
                                id: row.6.into(),
                                name: row.7,
                            },
                            choices: Vec::new(),
                            min_choices: 1,
                            max_choices: 1,
                            allow_change: true,
                            results_visibility: "always",
                            status: if row.2.is_some() { "closed" } else { "open" },
                            ballot_count: row.3,
                            revision: 1,
                            created_at: row.4,
                            updated_at: row.5,
                        });
                    }
                    if let Some(question) = questions.last_mut() {
                        question.choices.push(Choice {
                            id: row.8.into(),
                            choice_text: row.9,
                            position: row.10,
                            votes: row.11,
                        });
                    }
                }
                questions
            }

            impl Pool {
                pub async fn open(url: &str) -> anyhow::Result<Pool> {
                    let options = <$options>::new().max_connections(20);
                    let pool = ($connect)(options, url.to_owned()).await?;
                    Ok(Pool(pool, Arc::new($statements)))
                }

                async fn begin(&self) -> sqlx::Result<Transaction> {
                    ($begin)(self.0.clone()).await
                }

                async fn insert(
                    &self,
                    transaction: &mut Transaction,
                    ids: (Uuid, Uuid, Uuid),
                    now: DateTime<Utc>,
                ) -> Result<bool, Refused> {
                    let inserted = sqlx::query(self.1.insert)
                        .bind(<$id>::from(ids.0))
                        .bind(<$id>::from(ids.1))
                        .bind(<$id>::from(ids.2))
                        .bind(now)
                        .bind(now)
                        .execute(&mut **transaction)
                        .await?;
                    Ok(inserted.rows_affected() == 1)
                }

                async fn count(
                    &self,
                    transaction: &mut Transaction,
                    question: Uuid,
                    choice: Uuid,
                ) -> Result<(), Refused> {
                    if $counters_first {
                        self.question_counter(transaction, question).await?;
                        self.choice_counter(transaction, question, choice).await
                    } else {
                        // The hot row last, so that it is locked briefly.
                        self.choice_counter(transaction, question, choice).await?;
                        self.question_counter(transaction, question).await
                    }
                }

                async fn question_counter(
                    &self,
                    transaction: &mut Transaction,
                    question: Uuid,
                ) -> Result<(), Refused> {
                    let counted = sqlx::query(self.1.count)
                        .bind(<$id>::from(question))
                        .execute(&mut **transaction)
                        .await?;
                    match counted.rows_affected() {
                        1 => Ok(()),
                        _ => Err(CLOSED),
                    }
                }

                async fn choice_counter(
                    &self,
                    transaction: &mut Transaction,
                    question: Uuid,
                    choice: Uuid,
                ) -> Result<(), Refused> {
                    let counted = sqlx::query(self.1.more)
                        .bind(<$id>::from(choice))
                        .bind(<$id>::from(question))
                        .execute(&mut **transaction)
                        .await?;
                    match counted.rows_affected() {
                        1 => Ok(()),
                        _ => Err(NO_CHOICE),
                    }
                }

                async fn change(
                    &self,
                    (question, user, choice): (Uuid, Uuid, Uuid),
                    now: DateTime<Utc>,
                ) -> Result<(), Refused> {
                    let mut transaction = self.begin().await?;
                    let before: Option<($id,)> = sqlx::query_as(self.1.before)
                        .bind(<$id>::from(question))
                        .bind(<$id>::from(user))
                        .fetch_optional(&mut *transaction)
                        .await?;
                    let before = Uuid::from(before.ok_or(NO_CHOICE)?.0);
                    if before == choice {
                        return Ok(());
                    }
                    let closed: (Option<DateTime<Utc>>,) = sqlx::query_as(self.1.open)
                        .bind(<$id>::from(question))
                        .fetch_one(&mut *transaction)
                        .await?;
                    if closed.0.is_some() {
                        return Err(CLOSED);
                    }
                    self.choice_counter(&mut transaction, question, choice)
                        .await?;
                    sqlx::query(self.1.fewer)
                        .bind(<$id>::from(before))
                        .execute(&mut *transaction)
                        .await?;
                    sqlx::query(self.1.change)
                        .bind(<$id>::from(choice))
                        .bind(now)
                        .bind(<$id>::from(question))
                        .bind(<$id>::from(user))
                        .execute(&mut *transaction)
                        .await?;
                    Ok(transaction.commit().await?)
                }
            }

            impl Store for Pool {
                async fn question(&self, id: Uuid) -> sqlx::Result<Option<Question>> {
                    let rows = sqlx::query_as(self.1.question)
                        .bind(<$id>::from(id))
                        .fetch_all(&self.0)
                        .await?;
                    Ok(questions_of(rows).pop())
                }

                async fn newest(&self, limit: i64) -> sqlx::Result<Vec<Question>> {
                    let rows = sqlx::query_as(self.1.newest)
                        .bind(limit)
                        .fetch_all(&self.0)
                        .await?;
                    Ok(questions_of(rows))
                }

                async fn vote(
                    &self,
                    question: Uuid,
                    user: Uuid,
                    choice: Uuid,
                    now: DateTime<Utc>,
                ) -> Result<bool, Refused> {
                    let ids = (question, user, choice);
                    let mut transaction = self.begin().await?;
                    if $counters_first {
                        // The foreign keys' shared locks would make deadlocks of the other order.
                        self.count(&mut transaction, question, choice).await?;
                    }
                    if !self.insert(&mut transaction, ids, now).await? {
                        transaction.rollback().await?;
                        self.change(ids, now).await?;
                        return Ok(false);
                    }
                    if !$counters_first {
                        self.count(&mut transaction, question, choice).await?;
                    }
                    transaction.commit().await?;
                    Ok(true)
                }

                async fn account(&self, email: &str) -> sqlx::Result<Option<(Uuid, String)>> {
                    let account: Option<($id, String)> = sqlx::query_as(self.1.account)
                        .bind(email)
                        .fetch_optional(&self.0)
                        .await?;
                    Ok(account.map(|(id, hash)| (id.into(), hash)))
                }

                async fn remember(
                    &self,
                    hash: &str,
                    user: Uuid,
                    expires: DateTime<Utc>,
                ) -> sqlx::Result<()> {
                    sqlx::query(self.1.remember)
                        .bind(hash)
                        .bind(<$id>::from(user))
                        .bind(expires)
                        .execute(&self.0)
                        .await?;
                    Ok(())
                }
            }
        }
    };
}

store!(
    sqlite,
    sqlx::Sqlite,
    sqlx::sqlite::SqlitePoolOptions,
    uuid::fmt::Hyphenated,
    |pool: sqlx::SqlitePool| async move { pool.begin_with("BEGIN IMMEDIATE").await },
    Statements::new(false, "", "ON CONFLICT DO NOTHING", ""),
    false,
    |options: sqlx::sqlite::SqlitePoolOptions, url: String| async move {
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
        let connect = url.parse::<SqliteConnectOptions>()?;
        let connect = connect
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(30));
        options.connect_with(connect).await
    }
);

store!(
    postgres,
    sqlx::Postgres,
    sqlx::postgres::PgPoolOptions,
    Uuid,
    |pool: sqlx::PgPool| async move { pool.begin().await },
    Statements::new(true, "", "ON CONFLICT DO NOTHING", "FOR UPDATE"),
    false,
    |options: sqlx::postgres::PgPoolOptions, url: String| async move { options.connect(&url).await }
);

store!(
    mariadb,
    sqlx::MySql,
    sqlx::mysql::MySqlPoolOptions,
    uuid::fmt::Hyphenated,
    |pool: sqlx::MySqlPool| async move { pool.begin().await },
    Statements::new(false, "IGNORE", "", "FOR UPDATE"),
    true,
    |options: sqlx::mysql::MySqlPoolOptions, url: String| async move { options.connect(&url).await }
);
