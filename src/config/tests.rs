use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

/// Loads what these environment variables and a file of this content say.
fn load_with(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("polls.yaml");
    std::fs::write(&path, file).unwrap();
    load(&Sources {
        file: Some(path),
        environment: environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.into()))
            .collect(),
        ..Sources::default()
    })
}

fn flag(key: &str, value: &str) -> Flag {
    Flag {
        name: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// Loads the defaults with these settings from the command line.
fn set(settings: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(&Sources {
        flags: settings
            .iter()
            .map(|(key, value)| flag(key, value))
            .collect(),
        ..Sources::default()
    })
}

/// The only problem with these settings, which has to be with the last one.
#[track_caller]
fn problem(settings: &[(&str, &str)]) -> Problem {
    let problems = set(settings).expect_err("accepted").0;
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(problem.key, settings.last().unwrap().0);
    problem.clone()
}

/// What the driver is given.
fn connection_url(database: &Database) -> Secret {
    let [url] = database.urls() else {
        panic!("{:?}", database.urls());
    };
    url.with_credentials(database.user.as_deref(), database.password.as_ref())
}

/// A key to sign with, as others would make it.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIC1vzX6JHa2E0wJ4bQXtb4cyFbJkM0pEmqrKPXUWHOpN
-----END PRIVATE KEY-----
";

#[test]
fn the_defaults_are_valid() {
    let loaded = load(&Sources::default()).unwrap();
    let config = loaded.config;
    assert_eq!(config.server.port, 8080);
    assert!(config.server.host.is_loopback());
    assert_eq!(connection_url(&config.database).expose(), "sqlite:polls.db");
    assert_eq!(config.auth.access_token_ttl, Duration::from_secs(15 * 60));
    assert_eq!(config.accounts.password_memory, 19 << 20);
    assert_eq!(config.accounts.default_region, country::CN);
    assert_eq!(config.http.max_body, 64 << 10);
    assert_eq!(config.cors.origins, Origins::Any);
    assert_eq!(config.server.path_mode, 0o660);
    assert_eq!(config.issuer(), "polls");
    assert!(config.limits.enabled);
}

#[test]
fn the_example_for_production_is_valid() {
    let production = include_str!("../../config/production.yaml");
    let config = load_with(production, &[]).unwrap().config;
    assert_eq!(config.issuer(), "https://polls.example.org");
    assert_eq!(
        connection_url(&config.database).expose(),
        "sqlite:/var/lib/polls/polls.db"
    );
}

/// A server's URL takes the account and its password from beside it.
#[test]
fn the_password_need_not_stand_in_the_url() {
    let database = "database: {url: 'postgres://db.example.org:5432/polls', user: polls}";
    let password = ("POLLS__DATABASE__PASSWORD", "hunter2");
    let config = load_with(database, &[password]).unwrap().config;
    assert_eq!(
        connection_url(&config.database).expose(),
        "postgres://polls:hunter2@db.example.org:5432/polls"
    );
}

/// The keys of a section's type, which serde tells when it meets a wrong one.
fn fields(section: &str) -> BTreeSet<&'static str> {
    let values = figment::value::Dict::from([("bogus".to_owned(), 1.into())]);
    let error = figment::Figment::from((section, values))
        .extract::<Config>()
        .unwrap_err();
    match error.kind {
        figment::error::Kind::UnknownField(_, fields) => fields.iter().copied().collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_default_file_has_every_key_of_every_section() {
    for section in manual::sections() {
        let documented: BTreeSet<_> = manual::names(section).into_iter().collect();
        assert_eq!(documented, fields(section), "{section}");
    }
}

/// A bound as `Allowed:` writes it, and its neighbour on the wrong side.
fn neighbour(bound: &str, step: i64) -> Option<String> {
    if let Ok(number) = bound.parse::<i64>() {
        Some((number + step).to_string())
    } else if let Ok(span) = humantime::parse_duration(bound) {
        let millis = i64::try_from(span.as_millis()).unwrap() + step;
        (millis >= 0).then(|| format!("{millis}ms"))
    } else {
        let size: bytesize::ByteSize = bound.parse().unwrap();
        Some((i64::try_from(size.0).unwrap() + step).to_string())
    }
}

#[test]
fn each_range_is_as_it_is_documented() {
    let mut ranges = 0;
    for entry in manual::ENTRIES.iter() {
        let first = entry.allowed.split([',', '.']).next().unwrap();
        let Some((least, most)) = first.split_once(" to ") else {
            continue;
        };
        if !least.starts_with(|letter: char| letter.is_ascii_digit()) {
            continue;
        }
        ranges += 1;
        let path = entry.path();
        // Whatever else is allowed at the ends of these ranges.
        let others = [
            ("database.min_connections", "0"),
            ("database.max_connections", "1000"),
            ("auth.access_token_ttl", "1s"),
            ("auth.refresh_token_ttl", "365d"),
            ("ballots.batch", "1"),
            ("ballots.queue", "1000000"),
        ];
        let with = |value: &str| {
            let mut settings: Vec<_> = others.iter().filter(|(key, _)| *key != path).collect();
            let setting = (path.as_str(), value);
            settings.push(&setting);
            set(&settings.into_iter().copied().collect::<Vec<_>>())
        };
        for bound in [least, most] {
            assert!(with(bound).is_ok(), "{path} = {bound}");
        }
        for (bound, step) in [(least, -1), (most, 1)] {
            let Some(outside) = neighbour(bound, step) else {
                continue;
            };
            let problems = with(&outside).expect_err(&path).0;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].key, path);
            assert!(problems[0].message.ends_with(&entry.allowed));
        }
    }
    assert!(ranges > 20, "{ranges}");
}

#[test]
fn m_is_a_megabyte_in_the_range_of_a_size_and_a_minute_in_that_of_a_duration() {
    assert!(set(&[("http.max_body", "1M"), ("http.body_timeout", "1m")]).is_ok());
    // One megabyte, and the least is 2 MiB.
    problem(&[("http.max_received", "1m")]);
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_default() {
    let file = "server: {port: 1}\nhttp: {docs: false}\nlog: {access: false, filter: warn}";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("polls.yaml");
    std::fs::write(&path, file).unwrap();
    let loaded = load(&Sources {
        file: Some(path.clone()),
        environment: [
            ("POLLS__SERVER__PORT".to_owned(), "2".into()),
            ("POLLS__LOG__FILTER".to_owned(), "error".into()),
            // As Kubernetes sets it for a service of this name.
            ("POLLS_PORT".to_owned(), "tcp://10.0.0.1:80".into()),
        ]
        .into(),
        flags: vec![flag("server.port", "3"), flag("server.port", "4")],
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(loaded.config.server.port, 4);
    assert_eq!(loaded.config.log.filter, "error");
    assert!(!loaded.config.http.docs);
    let shown = |key: &str| {
        let mut settings = loaded.settings.iter();
        settings
            .find(|setting| setting.key == key)
            .unwrap()
            .to_string()
    };
    assert_eq!(shown("server.port"), "server.port: 4  # --set server.port");
    assert_eq!(
        shown("log.filter"),
        "log.filter: error  # the environment variable POLLS__LOG__FILTER"
    );
    assert_eq!(
        shown("http.docs"),
        format!("http.docs: false  # {}", path.display())
    );
    assert_eq!(
        shown("http.compression"),
        "http.compression: true  # default"
    );
    assert_eq!(shown("server.path"), "server.path: null  # default");
}

#[test]
fn the_file_is_the_named_one_or_the_first_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, port: u16| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("server: {{port: {port}}}")).unwrap();
        path
    };
    let (named, environment, usual) = (file("a", 1), file("b", 2), file("c", 3));
    let absent = directory.path().join("absent");
    let mut sources = Sources {
        file: Some(named),
        usual_files: vec![absent.clone(), usual, file("d", 4)],
        environment: [("POLLS_CONFIG".to_owned(), environment.into())].into(),
        ..Sources::default()
    };
    let port = |sources: &Sources| load(sources).unwrap().config.server.port;
    assert_eq!(port(&sources), 1);
    sources.file = None;
    assert_eq!(port(&sources), 2);
    sources.environment.clear();
    assert_eq!(port(&sources), 3);
    sources.usual_files.truncate(1);
    assert_eq!(port(&sources), 8080);

    sources.file = Some(absent.clone());
    let problems = load(&sources).unwrap_err().0;
    assert_eq!(problems[0].layer, absent.display().to_string());
    sources.file = None;
    sources.environment = [("POLLS_CONFIG".to_owned(), absent.into())].into();
    let problems = load(&sources).unwrap_err().0;
    assert!(
        problems[0]
            .message
            .starts_with("POLLS_CONFIG names this file, but")
    );
    sources.environment.clear();
    sources.usual_files = vec![directory.path().to_owned()];
    let problems = load(&sources).unwrap_err().0;
    assert!(problems[0].message.starts_with("This file exists, but"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let file = "
sever: {port: 1}
server: {prot: 9000, port: eighty}
database: {min_connections: 20}
http:
log: [debug]
";
    let environment = [
        ("POLLS__AUTH__KEY", "c2hvcnQ="),
        ("POLLS__AUTH__ACCESS_TOKEN_TTL", "15"),
        ("POLLS__DATABASE__URL", "oracle://me:hunter2@host/polls"),
    ];
    let problems = load_with(file, &environment).unwrap_err();
    let mut report = String::new();
    for Problem { key, found, .. } in &problems.0 {
        let found = found.as_deref().unwrap_or("-");
        writeln!(report, "{key} {found}").unwrap();
    }
    assert_eq!(
        report,
        "log -
server.prot -
sever -
auth.access_token_ttl 15
database.url oracle://me:********@host/polls
server.port eighty
database.min_connections 20
auth.key ********
"
    );
    let text = problems.to_string();
    assert!(
        text.starts_with("The configuration has 8 problems:\n\n"),
        "{text}"
    );
    assert!(
        text.ends_with(
            "\n\nauth.key: ******** (from the environment variable POLLS__AUTH__KEY)\n  \
             This is too short to be safe. Allowed: for HS256 at least 32 bytes in base64 \
             (`openssl rand -base64 32`); for ES256 and EdDSA a private key in PKCS#8 PEM \
             (`openssl genpkey -algorithm ed25519`, or `openssl genpkey -algorithm EC -pkeyopt \
             ec_paramgen_curve:P-256`); or null."
        ),
        "{text}"
    );
}

#[test]
fn unreadable_files_say_where() {
    let broken = load_with("server: {port: 1", &[]).unwrap_err().0;
    assert!(broken[0].message.contains("line 1"), "{broken:?}");
    let twice = load_with("server: {port: 1}\nserver: {port: 2}\n", &[])
        .unwrap_err()
        .0;
    assert!(twice[0].message.contains("duplicate"), "{twice:?}");
    let text = load_with("hunter2", &[]).unwrap_err().to_string();
    assert!(text.contains("The sections are server, database"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(load_with("", &[]).is_ok());
    assert!(load_with("server:\n  # port: 1\n", &[]).is_ok());
}

#[test]
fn an_unreadable_file_causes_no_contradictions() {
    let environment = [("POLLS__DATABASE__MIN_CONNECTIONS", "20")];
    let problems = load_with("database: {max_connections: 50", &environment);
    assert_eq!(problems.unwrap_err().0.len(), 1);
}

#[test]
fn secrets_are_never_shown() {
    let environment = [
        ("POLLS__DATABASE__PASWORD", "hunter2"),
        ("POLLS__DATABASE", "hunter2"),
        ("POLLS__DATABASE__PASSWORD__X", "hunter2"),
        ("POLLS__AUTH__KEY", "hunter2"),
        ("POLLS__SHARE__REDIS_PASSWORD", "hunter2"),
    ];
    let file = "database: {url: {password: hunter2}}\nshare: {redis_url: {password: hunter2}}";
    let problems = load_with(file, &environment).unwrap_err();
    assert_eq!(problems.0.len(), 6, "{problems}");
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
    assert!(!format!("{problems:?}").contains("hunter2"));

    let loaded = set(&[
        ("database.url", "postgres://me:hunter2@host/polls"),
        ("share.redis_url", "redis://me@host"),
        ("share.redis_password", "hunter2"),
        (
            "auth.key",
            "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI",
        ),
    ])
    .unwrap();
    let shown = format!("{loaded:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("aHVudGVy"),
        "{shown}"
    );
}

#[test]
fn digits_are_text_where_text_is_wanted() {
    let config = set(&[
        ("database.url", "postgres://host/polls"),
        ("database.user", "007"),
        ("database.password", "1e5"),
    ]);
    let database = config.unwrap().config.database;
    assert_eq!(
        connection_url(&database).expose(),
        "postgres://007:1e5@host/polls"
    );
    let problems = load_with("auth: {audience: 12345}", &[]).unwrap_err().0;
    assert!(
        problems[0]
            .message
            .starts_with("This is not text. Put it in quotes.")
    );
}

#[test]
fn lists_are_yaml_or_words_with_commas() {
    let origins = |text| set(&[("cors.origins", text)]).unwrap().config.cors.origins;
    let two = origins("https://a.example, https://b.example");
    assert_eq!(two, origins("[https://a.example, \"https://b.example\"]"));
    assert!(matches!(two, Origins::Only(list) if list.len() == 2));
    assert_eq!(origins(""), Origins::Only(Vec::new()));
    assert_eq!(origins("*"), Origins::Any);
    let proxies = set(&[("server.trusted_proxies", "10.0.0.0/8,::1")]).unwrap();
    assert_eq!(proxies.config.server.trusted_proxies.len(), 2);
}

#[test]
fn an_empty_value_takes_a_setting_back() {
    let environment = [("POLLS__SERVER__PATH", ""), ("POLLS__SERVER__PORT", "1")];
    let config = load_with("server: {path: /run/x}", &environment)
        .unwrap()
        .config;
    assert_eq!(config.server.path, None);
}

#[test]
fn wrong_forms_are_named() {
    for (key, value, message) in [
        ("server.host", "localhost", "This is not an IP address"),
        ("server.port", "", "A value is missing."),
        (
            "server.port",
            "70000",
            "This is not a whole number, or is far out of range.",
        ),
        ("server.path_mode", "+66", "These are not permissions"),
        ("server.path_mode", "888", "These are not permissions"),
        ("server.path_mode", "1777", "These are not permissions"),
        (
            "server.public_url",
            "https://polls.example.org/",
            "\"https://polls.example.org/\" is not",
        ),
        (
            "server.public_url",
            "capacitor://localhost",
            "This is not an http:// or https://",
        ),
        (
            "server.trusted_proxies",
            "10.0.0.0/33",
            "\"10.0.0.0/33\" is not a network",
        ),
        (
            "server.trusted_proxies",
            "10.1.0.0/8",
            "\"10.1.0.0/8\" is an address within a network. Write 10.0.0.0/8",
        ),
        (
            "server.trusted_proxies",
            "[a, {b: c}]",
            "This is not a list",
        ),
        (
            "database.migrate",
            "perhaps",
            "This is neither true nor false.",
        ),
        (
            "auth.algorithm",
            "none",
            "This is not one of the allowed values.",
        ),
        (
            "auth.access_token_ttl",
            "15",
            "The unit is missing. Write 15s for seconds.",
        ),
        ("auth.access_token_ttl", "soon", "This is not a duration."),
        (
            "auth.audience",
            "two words",
            "This is neither a name nor a URL.",
        ),
        ("auth.issuer", "urn:x", "This is neither a name nor a URL."),
        (
            "accounts.default_region",
            "XX",
            "This is not one of the allowed values.",
        ),
        ("accounts.password_memory", "much", "This is not a size."),
        ("http.max_body", "-1", "This is not a size."),
        ("web.root", "/no/such/folder", "There is no such folder."),
        (
            "web.embed_origins",
            "capacitor://localhost",
            "Only http:// and https:// pages",
        ),
        (
            "cors.origins",
            "app.example.org",
            "\"app.example.org\" is not an origin",
        ),
        ("log.filter", "inof", "\"inof\" is not a level."),
        ("log.filter", "polls=loud", "This is not a filter"),
        (
            "log.format",
            "xml",
            "This is not one of the allowed values.",
        ),
    ] {
        let problem = problem(&[(key, value)]);
        assert!(problem.message.starts_with(message), "{problem}");
        assert!(problem.message.contains(" Allowed: "), "{problem}");
        assert_eq!(problem.layer, format!("--set {key}"));
    }
    let socket = format!("/{}", "x".repeat(103));
    problem(&[("server.path", &socket)]);
}

#[test]
fn contradictions_name_both_sides() {
    for (settings, message) in [
        (
            &[
                ("database.max_connections", "5"),
                ("database.min_connections", "6"),
            ][..],
            "This is larger than its upper limit: database.max_connections is 5 (from --set database.max_connections).",
        ),
        (
            &[("ballots.queue", "10"), ("ballots.batch", "11")],
            "This is larger than its upper limit: ballots.queue",
        ),
        (
            &[
                ("auth.refresh_token_ttl", "1m"),
                ("auth.access_token_ttl", "2m"),
            ],
            "This is larger than its upper limit: auth.refresh_token_ttl",
        ),
        (
            &[("server.port", "9000"), ("server.path", "/run/x")],
            "The server listens either on a unix socket or on a port: server.port",
        ),
        (
            &[("server.host", "::"), ("server.path", "/run/x")],
            "The server listens either on a unix socket or on a port: server.host",
        ),
        (
            &[("cors.credentials", "true")],
            "Any website could act in the name of its visitors: cors.origins is [\"*\"] (from default)",
        ),
        (
            &[
                ("server.public_url", "https://h"),
                ("mail.url", "smtps://h"),
            ],
            "Messages need a sender: mail.from is null",
        ),
        (
            &[("mail.from", "a@h"), ("mail.url", "smtps://h")],
            "Links in messages need an address: server.public_url is null",
        ),
        (
            &[("mail.user", "me")],
            "The account needs a name and a password: mail.password is null",
        ),
        (
            &[
                ("mail.url", "smtp://h?tls=opportunistic"),
                ("mail.from", "Polls <a@h>"),
                ("server.public_url", "https://h"),
                ("mail.user", "me"),
                ("mail.password", "x"),
            ],
            "The password would be sent without encryption: mail.url is",
        ),
        (
            &[("database.user", "me")],
            "An SQLite file has no accounts: database.url is sqlite:polls.db",
        ),
        (
            &[
                ("database.url", "postgres://me@h/polls"),
                ("database.user", "me"),
            ],
            "The URL has an account already: database.url is postgres://me@h/polls",
        ),
        (
            &[
                ("database.url", "postgres://me:x@h/polls"),
                ("database.password", "y"),
            ],
            "The URL has a password already: database.url is postgres://me:********@h/polls",
        ),
        (
            &[
                ("database.url", "postgres://h/polls"),
                ("database.password", "y"),
            ],
            "This password has no account: database.user is null (from default). Set it.",
        ),
        (
            &[
                ("database.url", "postgres://h/polls"),
                ("database.urls", "postgres://a/polls,postgres://b/polls"),
            ],
            "Only one of these settings can be used: database.url is postgres://h/polls",
        ),
        (
            &[("database.urls", "postgres://a/polls,mysql://b/polls")],
            "These are not hosts of one database",
        ),
        (
            &[("database.urls", "postgres://a/polls,postgres://b/other")],
            "These are not hosts of one database",
        ),
        (
            &[("database.urls", "sqlite:polls.db")],
            "An SQLite file has no hosts. Use database.url.",
        ),
        (
            &[
                ("database.urls", "postgres://a/polls,postgres://me@b/polls"),
                ("database.user", "me"),
            ],
            "The URL has an account already: database.urls is",
        ),
        (
            &[("database.tls", "require")],
            "An SQLite file needs no network connection: database.url is sqlite:polls.db",
        ),
    ] {
        let problem = problem(settings);
        assert!(problem.message.starts_with(message), "{problem}");
    }
    let environment = [
        ("POLLS__DATABASE__URL", "postgres://h/polls"),
        ("POLLS__DATABASE__PASSWORD", "x"),
    ];
    let misread = load_with("database: {user: 7}", &environment).unwrap_err();
    assert_eq!(misread.0.len(), 1, "{misread}");
    let socket = set(&[("server.path", "/run/x")]).unwrap();
    assert!(socket.config.server.path.is_some());
}

#[test]
fn hosts_are_listed_and_their_passwords_never_shown() {
    let urls = "postgres://me:hunter2@a/polls, postgres://me:hunter2@b/polls";
    for file in [
        format!("database: {{urls: '{urls}'}}"),
        format!("database: {{urls: [{urls}]}}"),
    ] {
        let loaded = load_with(&file, &[]).unwrap();
        let hosts: Vec<String> = loaded
            .config
            .database
            .urls()
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = ["a", "b"].map(|host| format!("postgres://me:********@{host}/polls"));
        assert_eq!(hosts, expected);
        let setting = loaded
            .settings
            .iter()
            .find(|setting| setting.key == "database.urls");
        let shown = format!("{setting:?}");
        assert!(
            shown.contains("@a/polls") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn keys_fit_their_algorithm() {
    let short = problem(&[("auth.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA")]);
    assert!(short.message.starts_with("This is too short"), "{short}");
    let text = problem(&[("auth.key", "not base64!")]);
    assert!(text.message.starts_with("This is not base64."), "{text}");
    let hs256 = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    assert!(set(&[("auth.key", hs256)]).is_ok());
    assert_eq!(hmac_key(&hs256.to_owned().into()).unwrap().len(), 32);

    let algorithm = |name| [("auth.algorithm", name), ("auth.key", ED25519)];
    assert!(set(&algorithm("EdDSA")).is_ok());
    problem(&algorithm("ES256"));
    problem(&[("auth.algorithm", "EdDSA"), ("auth.key", hs256)]);
    let damaged = ED25519.replace("MC4CAQ", "MC4CBQ");
    problem(&[("auth.algorithm", "EdDSA"), ("auth.key", &damaged)]);
}
