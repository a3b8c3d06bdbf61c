//! Several statements in as few round trips as the engine allows.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};

use super::dialect::statement;

/// Statements that run one after the other, each with its values.
#[derive(Debug, Default)]
pub struct Script {
    steps: Vec<(String, Vec<Value>)>,
}

impl Script {
    /// Adds a statement; `sql` holds `?` for each value.
    pub fn then(&mut self, sql: impl Into<String>, values: impl Into<Vec<Value>>) {
        self.steps.push((sql.into(), values.into()));
    }

    /// Runs all of it.
    pub async fn run(self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        if !self.steps.is_empty() {
            for (sql, values) in self.trips(db) {
                db.execute_raw(statement(db, &sql, values)).await?;
            }
        }
        Ok(())
    }

    /// Runs all of it; the rows are those of the last statement, the only one that may have any.
    pub async fn rows(self, db: &impl ConnectionTrait) -> Result<Vec<QueryResult>, DbErr> {
        let mut rows = Vec::new();
        for (sql, values) in self.trips(db) {
            rows = db.query_all_raw(statement(db, &sql, values)).await?;
        }
        Ok(rows)
    }

    /// SQLite takes them all at once: there a round trip is two switches of threads.
    fn trips(self, db: &impl ConnectionTrait) -> Vec<(String, Vec<Value>)> {
        if db.get_database_backend() != DbBackend::Sqlite {
            return self.steps;
        }
        let (texts, values): (Vec<_>, Vec<_>) = self.steps.into_iter().unzip();
        vec![(texts.join(";\n"), values.concat())]
    }
}
