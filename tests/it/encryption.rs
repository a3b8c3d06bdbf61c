//! Connections to database servers over TLS.

use std::path::Path;

use crate::support::certificate::Certificate;
use crate::support::database::{Database, Kind, MARIADB, POSTGRES};
use crate::support::polls;

/// Runs a command on a database, which is to succeed or to be refused with these words.
fn migrate(folder: &Path, url: &str, settings: &[String], refusal: Option<&str>) {
    let mut arguments = vec!["migrate".to_owned(), "up".to_owned()];
    for setting in [&[format!("database.url={url}")], settings].concat() {
        arguments.extend(["--set".to_owned(), setting]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = polls(folder, &arguments);
    match refusal {
        None => drop(run.done()),
        Some(words) => {
            let error = run.fails(1);
            assert!(error.contains(words), "{settings:?}: {error}");
        }
    }
}

/// `make_user` makes a user `cautious`, whom the server takes over TLS only, and gives back what
/// it says to them without.
fn spoken_over_tls(
    kind: &Kind,
    arguments: fn(&Certificate) -> Vec<String>,
    make_user: fn(&Database) -> &'static str,
) {
    let Some(program) = kind.installed() else {
        return;
    };
    let (Some(own), Some(other)) = (
        Certificate::of_localhost(kind.name),
        Certificate::of_localhost(kind.name),
    ) else {
        return;
    };
    let database = Database::start_with(kind, &program, &arguments(&own));
    let refusal = make_user(&database);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scheme = database.address.split_once("://").expect("a URL").0;
    let url = |host: &str| format!("{scheme}://cautious@{host}:{}/polls", database.port);
    let (named, numbered) = (url("localhost"), url("127.0.0.1"));
    let attempt = |url: &str, tls: &str, trusted: Option<&Certificate>, refusal: Option<&str>| {
        let mut settings = vec![format!("database.tls={tls}")];
        settings.extend(trusted.map(|it| format!("database.tls_ca={}", it.certificate)));
        migrate(folder.path(), url, &settings, refusal);
    };
    attempt(&named, "disable", None, Some(refusal));
    attempt(&numbered, "prefer", None, None);
    attempt(&numbered, "require", None, None);
    attempt(&numbered, "verify-ca", Some(&own), None);
    attempt(&named, "verify-full", Some(&own), None);
    // Another name than the certificate's, and a certificate that nobody trusts.
    let (name, trust) = (Some("not valid for name"), Some("invalid peer certificate"));
    attempt(&numbered, "verify-full", Some(&own), name);
    attempt(&named, "verify-full", Some(&other), trust);
    attempt(&named, "verify-ca", None, trust);
    // Where TLS is a must, a server without it will not do.
    let plain = Database::start(kind, &program);
    plain.run("CREATE DATABASE polls");
    let without = Some("TLS");
    migrate(
        folder.path(),
        &plain.url("polls"),
        &["database.tls=require".to_owned()],
        without,
    );
}

#[test]
fn postgresql_is_spoken_to_over_tls() {
    let arguments = |own: &Certificate| {
        let (key, certificate) = (&own.key, &own.certificate);
        let settings = [
            "ssl=on".to_owned(),
            format!("ssl_key_file={key}"),
            format!("ssl_cert_file={certificate}"),
        ];
        settings
            .into_iter()
            .flat_map(|setting| ["-c".to_owned(), setting])
            .collect()
    };
    spoken_over_tls(&POSTGRES, arguments, |database| {
        database.run("CREATE USER cautious");
        database.run("CREATE DATABASE polls OWNER cautious");
        let rules = "hostssl all cautious all trust\nhost all polls all trust\n";
        std::fs::write(database.data().join("pg_hba.conf"), rules).expect("its rules");
        database.run("SELECT pg_reload_conf()::text");
        "no encryption"
    });
}

#[test]
fn mariadb_is_spoken_to_over_tls() {
    let arguments = |own: &Certificate| {
        let (key, certificate) = (&own.key, &own.certificate);
        vec![
            format!("--ssl-key={key}"),
            format!("--ssl-cert={certificate}"),
        ]
    };
    spoken_over_tls(&MARIADB, arguments, |database| {
        database.run("CREATE DATABASE polls");
        database.run("CREATE USER cautious@'%' REQUIRE SSL");
        database.run("GRANT ALL ON polls.* TO cautious@'%'");
        "Access denied"
    });
}
