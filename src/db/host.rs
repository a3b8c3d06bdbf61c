//! One host of a database server: connecting to it, and checking whether it accepts writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySql, MySqlConnection,
    PgConnection, Postgres, Row as _,
};

use super::{STATEMENTS, logged};
use crate::config::{self, DatabaseUrl, Tls};

/// How many seconds a statement waits for a lock.
const LOCK_TIMEOUT: u32 = 5;

/// A connection that was idle for longer is checked before use: its server may have stopped, or
/// been restarted.
const IDLE: Duration = Duration::from_secs(1);

/// The address of a database server, with credentials.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The URL without the password.
    pub name: String,
    driver: Driver,
}

#[derive(Debug, Clone)]
enum Driver {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl Host {
    /// None if the URL names a file.
    pub fn new(url: &DatabaseUrl, config: &config::Database) -> sqlx::Result<Option<Host>> {
        if url.is_file() {
            return Ok(None);
        }
        let full = url.with_credentials(config.user.as_deref(), config.password.as_ref());
        let driver = if full.expose().starts_with("mysql:") {
            Driver::MySql(mysql(full.expose().parse()?, config))
        } else {
            Driver::Postgres(postgres(full.expose().parse()?, config))
        };
        Ok(Some(Host {
            name: url.to_string(),
            driver,
        }))
    }

    /// A connection outside of the pools.
    pub async fn connect(&self) -> sqlx::Result<Session> {
        match &self.driver {
            Driver::Postgres(options) => Ok(Session::Postgres(options.connect().await?)),
            Driver::MySql(options) => Ok(Session::MySql(options.connect().await?)),
        }
    }

    /// The pools of connections for reading and for writing. Each connects when it is first used.
    pub fn pools(
        &self,
        config: &config::Database,
        flavour: Flavour,
    ) -> (DatabaseConnection, DatabaseConnection) {
        let limit = Some(config.statement_timeout);
        let both = match &self.driver {
            Driver::Postgres(options) => shared_postgres(pool_options(config), options, limit),
            Driver::MySql(options) => {
                let session = flavour.session(limit);
                if flavour == (Flavour::MariaDb { galera: true }) {
                    let writing = format!("{session}, SESSION autocommit = 0");
                    return (
                        shared_mysql(pool_options(config), options, session),
                        shared_mysql(pool_options(config), options, writing),
                    );
                }
                shared_mysql(pool_options(config), options, session)
            }
        };
        (both.clone(), both)
    }

    /// A single connection that is kept until it is closed, without a limit on its statements'
    /// time.
    pub fn alone(&self, flavour: Flavour) -> DatabaseConnection {
        fn one<D: sqlx::Database>() -> PoolOptions<D> {
            PoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        }
        match &self.driver {
            Driver::Postgres(options) => shared_postgres(one(), options, None),
            Driver::MySql(options) => shared_mysql(one(), options, flavour.session(None)),
        }
    }
}

fn shared_postgres(
    pool: PoolOptions<Postgres>,
    options: &PgConnectOptions,
    statement_timeout: Option<Duration>,
) -> DatabaseConnection {
    let millis = statement_timeout.map_or(0, |limit| limit.as_millis());
    let options = options.clone().options([
        // Each statement sees what was committed before it: a batch of ballots must see the state
        // of its questions as of when it has locked its slots.
        ("default_transaction_isolation", "read committed".to_owned()),
        ("lock_timeout", format!("{LOCK_TIMEOUT}s")),
        ("statement_timeout", millis.to_string()),
        // Every statement is meant to follow an index. A generic plan (for any word or author)
        // assumes a rare one, whose questions it would collect by a bitmap scan and sort; and a
        // table that grows faster than its statistics would be scanned.
        ("enable_bitmapscan", "off".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        // PostgreSQL adds a huge cost to plans with disabled nodes, and would compile them for it.
        ("jit", "off".to_owned()),
    ]);
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(options))
}

fn shared_mysql(
    pool: PoolOptions<MySql>,
    options: &MySqlConnectOptions,
    session: String,
) -> DatabaseConnection {
    let session: Arc<str> = session.into();
    let pool = pool.after_connect(move |connection, _| {
        let session = AssertSqlSafe(session.to_string());
        Box::pin(async move { connection.execute(session).await.map(drop) })
    });
    SqlxMySqlConnector::from_sqlx_mysql_pool(pool.connect_lazy_with(options.clone()))
}

fn pool_options<D: sqlx::Database>(config: &config::Database) -> PoolOptions<D> {
    PoolOptions::new()
        .min_connections(config.min_connections)
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(config.idle_timeout)
        .max_lifetime(config.max_lifetime)
        // Checking a connection before each use would cost a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection: &mut D::Connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

fn postgres(options: PgConnectOptions, config: &config::Database) -> PgConnectOptions {
    let options = logged(options)
        .statement_cache_capacity(STATEMENTS)
        .application_name("polls");
    let options = match config.tls {
        None => options,
        Some(Tls::Disable) => options.ssl_mode(PgSslMode::Disable),
        Some(Tls::Prefer) => options.ssl_mode(PgSslMode::Prefer),
        Some(Tls::Require) => options.ssl_mode(PgSslMode::Require),
        Some(Tls::VerifyCa) => options.ssl_mode(PgSslMode::VerifyCa),
        Some(Tls::VerifyFull) => options.ssl_mode(PgSslMode::VerifyFull),
    };
    match &config.tls_ca {
        None => options,
        Some(path) => options.ssl_root_cert(path),
    }
}

fn mysql(options: MySqlConnectOptions, config: &config::Database) -> MySqlConnectOptions {
    let options = logged(options).statement_cache_capacity(STATEMENTS);
    let options = match config.tls {
        None => options,
        Some(Tls::Disable) => options.ssl_mode(MySqlSslMode::Disabled),
        Some(Tls::Prefer) => options.ssl_mode(MySqlSslMode::Preferred),
        Some(Tls::Require) => options.ssl_mode(MySqlSslMode::Required),
        Some(Tls::VerifyCa) => options.ssl_mode(MySqlSslMode::VerifyCa),
        Some(Tls::VerifyFull) => options.ssl_mode(MySqlSslMode::VerifyIdentity),
    };
    match &config.tls_ca {
        None => options,
        Some(path) => options.ssl_ca(path),
    }
}

/// The kind of server. Those with MySQL's protocol need different session variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Postgres,
    MariaDb { galera: bool },
    MySql,
}

impl Flavour {
    /// The statements that set up a session.
    fn session(self, statement_timeout: Option<Duration>) -> String {
        // Under READ COMMITTED each statement sees what was committed before it; see above.
        let common = format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
             SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}, \
             SESSION lock_wait_timeout = {LOCK_TIMEOUT}, \
             SESSION group_concat_max_len = 1073741824"
        );
        // 0 means no limit.
        let limit = statement_timeout.unwrap_or_default();
        match self {
            Flavour::Postgres => String::new(),
            // Limits only statements that read. Those that write are bounded by the lock timeouts.
            Flavour::MySql => format!(
                "{common}, SESSION max_execution_time = {}",
                limit.as_millis()
            ),
            Flavour::MariaDb { galera } => {
                let seconds = limit.as_secs_f64();
                let mut session = format!("{common}, SESSION max_statement_time = {seconds}");
                if galera {
                    // A read waits until this node has applied what others have committed before.
                    session.push_str(", SESSION wsrep_sync_wait = 1");
                }
                session
            }
        }
    }
}

/// A connection outside of the pools, by which a host is watched.
pub(super) enum Session {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

impl Session {
    /// Checks that text of every language can be stored; returns an explanation if not.
    ///
    /// On PostgreSQL the encoding belongs to the database and is fixed when that is created. On
    /// MariaDB and MySQL our tables set their encoding, but the URL may set another one for the
    /// connection.
    pub async fn unfit_for_text(&mut self) -> sqlx::Result<Option<String>> {
        let (needed, asked, mend) = match self {
            Session::Postgres(_) => (
                "UTF8",
                "SELECT current_setting('server_encoding') \
                 UNION SELECT current_setting('client_encoding')",
                "Create another database with CREATE DATABASE polls TEMPLATE template0 \
                 ENCODING 'UTF8' LOCALE 'C', and copy the contents of this one there with \
                 pg_dump and psql",
            ),
            Session::MySql(_) => (
                "utf8mb4",
                "SELECT @@character_set_client UNION SELECT @@character_set_connection \
                 UNION SELECT @@character_set_results",
                "Remove charset and collation from the URL of the database",
            ),
        };
        let found = self.names(asked).await?;
        let unfit = found.into_iter().find(|encoding| encoding != needed);
        Ok(unfit.map(|unfit| {
            format!("its encoding is {unfit}, and polls needs {needed} for text of every language. {mend}")
        }))
    }

    /// The other sessions in this database: account, address and, on PostgreSQL, program.
    pub async fn others(&mut self) -> sqlx::Result<Vec<String>> {
        let asked = match self {
            Session::Postgres(_) => {
                "SELECT concat_ws(' ', usename, 'from', coalesce(host(client_addr), 'a socket'), \
                 nullif(application_name, '')) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND backend_type = 'client backend'"
            }
            Session::MySql(_) => {
                "SELECT CONCAT(USER, ' from ', HOST) FROM information_schema.PROCESSLIST \
                 WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
            }
        };
        self.names(asked).await
    }

    /// The first column of a query's rows, which is text.
    async fn names(&mut self, query: &'static str) -> sqlx::Result<Vec<String>> {
        let query = sqlx::raw_sql(query);
        match self {
            Session::Postgres(connection) => {
                let rows = query.fetch_all(connection).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
            Session::MySql(connection) => {
                let rows = query.fetch_all(connection).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
        }
    }

    /// The kind of server, if it accepts writes: a primary, and connected to its cluster. Else
    /// None.
    pub async fn writable(&mut self) -> sqlx::Result<Option<Flavour>> {
        let connection = match self {
            Session::Postgres(connection) => {
                let asked = "SELECT NOT pg_is_in_recovery() \
                    AND NOT current_setting('default_transaction_read_only')::boolean";
                let row = sqlx::raw_sql(asked).fetch_one(connection).await?;
                // The results of unprepared statements are text.
                let writable: String = row.try_get_unchecked(0)?;
                return Ok((writable == "t").then_some(Flavour::Postgres));
            }
            Session::MySql(connection) => connection,
        };
        let asked = "SHOW GLOBAL VARIABLES \
            WHERE Variable_name IN ('version', 'read_only', 'wsrep_on')";
        let variables = values(connection, asked).await?;
        let variable = |name: &str| variables.get(name).map(String::as_str);
        let galera = variable("wsrep_on") == Some("ON");
        // A node that has lost its cluster answers only SHOW statements.
        let ready = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'";
        if galera
            && values(connection, ready)
                .await?
                .values()
                .all(|ready| ready != "ON")
        {
            return Ok(None);
        }
        // OFF or ON; later versions have further values for stricter modes.
        if variable("read_only") != Some("OFF") {
            return Ok(None);
        }
        let version = variable("version").unwrap_or_default();
        Ok(Some(
            match version.to_ascii_lowercase().contains("mariadb") {
                true => Flavour::MariaDb { galera },
                false => Flavour::MySql,
            },
        ))
    }
}

/// The names and values in the result of a SHOW statement.
async fn values(
    connection: &mut MySqlConnection,
    show: &'static str,
) -> sqlx::Result<HashMap<String, String>> {
    let rows = sqlx::raw_sql(show).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
