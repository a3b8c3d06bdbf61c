//! Several statements in as few round trips as the engine allows.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};

use super::dialect::statement;

/// Statements that run one after the other, each with its values.
#[derive(Debug, Default)]
pub struct Script {
    steps: Vec<(String, Vec<Value>)>,
}

impl Script {
    /// Adds a statement; `sql` has one `?` for each value.
    pub fn then(&mut self, sql: impl Into<String>, values: impl Into<Vec<Value>>) {
        self.steps.push((sql.into(), values.into()));
    }

    /// Runs all statements.
    pub async fn run(self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        if !self.steps.is_empty() {
            for (sql, values) in self.trips(db) {
                db.execute_raw(statement(db, &sql, values)).await?;
            }
        }
        Ok(())
    }

    /// Runs all statements and returns the rows of the last, the only one that may return rows.
    pub async fn rows(self, db: &impl ConnectionTrait) -> Result<Vec<QueryResult>, DbErr> {
        let mut rows = Vec::new();
        for (sql, values) in self.trips(db) {
            rows = db.query_all_raw(statement(db, &sql, values)).await?;
        }
        Ok(rows)
    }

    /// One statement for each round trip. SQLite gets all of them as one, because each round trip
    /// to its thread costs two thread switches.
    fn trips(self, db: &impl ConnectionTrait) -> Vec<(String, Vec<Value>)> {
        if db.get_database_backend() != DbBackend::Sqlite {
            return self.steps;
        }
        let (texts, values): (Vec<_>, Vec<_>) = self.steps.into_iter().unzip();
        vec![(texts.join(";\n"), values.concat())]
    }
}
