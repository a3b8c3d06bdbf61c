//! What the sources must not say: who may import whom, who may ask for the time.
//!
//! The reader of a module can rely on what is absent from it.

use std::fs;
use std::path::{Path, PathBuf};

/// The features, each of which may use only those before it.
const FEATURES: [&str; 8] = [
    "mail",
    "users",
    "auth",
    "questions",
    "invitations",
    "ballots",
    "results",
    "live",
];

/// What the features stand on, beside `http`.
const GROUND: [&str; 21] = [
    "background",
    "base32",
    "clock",
    "config",
    "db",
    "downloads",
    "failure",
    "fair",
    "formula",
    "input",
    "language",
    "markup",
    "network",
    "page",
    "patch",
    "periodic",
    "precondition",
    "rendered",
    "share",
    "tally",
    "text",
];

/// A line of a source file, without comments; lines of test modules are left out.
struct Line {
    /// Beneath the package's folder, such as `src/auth/guard.rs`.
    file: String,
    number: usize,
    text: String,
}

/// The program's own lines, of both crates.
fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "migration/src"] {
        collect(&root.join(folder), &mut files);
    }
    let mut lines = Vec::new();
    for path in files {
        let file = path
            .strip_prefix(root)
            .expect("beneath the root")
            .display()
            .to_string();
        let of_tests = file.contains("/tests/") || file.ends_with("tests.rs");
        if of_tests {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source file");
        // Test modules are the last of their files.
        let program = source
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for (index, line) in program.lines().enumerate() {
            let text = line.split("//").next().unwrap_or_default().to_owned();
            lines.push(Line {
                file: file.clone(),
                number: index + 1,
                text,
            });
        }
    }
    assert!(lines.len() > 5_000, "the sources have moved");
    lines
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether `text` has `word` as a whole word.
fn names(text: &str, word: &str) -> bool {
    let of_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(of_word) && !after.starts_with(of_word)
    })
}

/// Fails with every line that breaks the rule.
#[track_caller]
fn forbid(rule: &str, breaks: impl Fn(&Line) -> bool) {
    let lines = lines();
    let broken = lines.iter().filter(|line| breaks(line));
    let broken: Vec<String> = broken
        .map(|line| format!("{}:{}: {}", line.file, line.number, line.text.trim()))
        .collect();
    assert!(broken.is_empty(), "{rule}\n{}", broken.join("\n"));
}

/// The first part of a file's path beneath `src/`, without the ending.
fn module(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap_or_default();
    let first = below.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Whether a file has handlers, which stand above the verbs of all features.
fn is_api(file: &str) -> bool {
    file.split('/').any(|part| matches!(part, "api" | "api.rs"))
}

#[test]
fn only_the_edge_names_the_web_framework() {
    let rule = "poem is for each feature's api, auth/guard.rs, http/, web/ and app.rs";
    forbid(rule, |line| {
        let edge = is_api(&line.file)
            || line.file == "src/auth/guard.rs"
            || matches!(module(&line.file), "http" | "web" | "app");
        !edge && names(&line.text, "poem")
    });
}

#[test]
fn features_point_one_way() {
    let order = FEATURES.join(" ← ");
    forbid(
        &format!("verbs and entities point one way: {order}"),
        |line| {
            let of = FEATURES
                .iter()
                .position(|feature| *feature == module(&line.file));
            let Some(own) = of.filter(|_| !is_api(&line.file)) else {
                return false;
            };
            FEATURES[own + 1..]
                .iter()
                .any(|later| uses(&line.text, later))
        },
    );
}

#[test]
fn nothing_but_the_wiring_uses_handlers() {
    let rule = "an api is used by app.rs and by itself, never by another module";
    forbid(rule, |line| {
        let own = module(&line.file);
        FEATURES.iter().any(|feature| {
            let by_itself = *feature == own && is_api(&line.file);
            let names = line.text.contains(&format!("crate::{feature}::api"))
                || *feature == own && line.text.contains("super::api");
            names && !by_itself && own != "app"
        })
    });
}

#[test]
fn the_ground_stands_on_no_feature() {
    let ground = GROUND.join(", ");
    forbid(&format!("{ground} use no feature and not http"), |line| {
        let used = FEATURES.iter().any(|feature| uses(&line.text, feature));
        GROUND.contains(&module(&line.file)) && (used || uses(&line.text, "http"))
    });
    forbid("verbs, tables and the read model do not use http", |line| {
        let below = !is_api(&line.file) && line.file != "src/auth/guard.rs";
        below && FEATURES.contains(&module(&line.file)) && uses(&line.text, "http")
    });
    forbid("only the wiring knows the web page", |line| {
        !matches!(module(&line.file), "web" | "app") && uses(&line.text, "web")
    });
    forbid("http uses no feature", |line| {
        module(&line.file) == "http" && FEATURES.iter().any(|feature| uses(&line.text, feature))
    });
    forbid(
        "migrations use no entity, which will have changed when they run again",
        |line| line.file.starts_with("migration/") && names(&line.text, "polls"),
    );
}

fn uses(text: &str, feature: &str) -> bool {
    text.contains(&format!("crate::{feature}::"))
        || text.contains(&format!("crate::{feature};"))
        || text.contains("use crate::{") && names(text, feature)
}

#[test]
fn only_the_clock_knows_the_time() {
    let clocks = [
        "SystemTime::now",
        "now_v7",
        "Timestamp::now",
        "Zoned::now",
        "Utc::now",
        "UNIX_EPOCH",
    ];
    forbid("whoever needs the time is handed a Clock", |line| {
        line.file != "src/clock.rs" && clocks.iter().any(|clock| line.text.contains(clock))
    });
}

#[test]
fn only_the_database_module_knows_the_engine() {
    let engines = [
        "DbBackend",
        "DatabaseBackend",
        "Sqlite",
        "Postgres",
        "MySql",
        "sqlx",
    ];
    forbid(
        "what differs between engines is in db/ and the migrations",
        |line| {
            let knows = module(&line.file) == "db" || line.file.starts_with("migration/");
            !knows && engines.iter().any(|engine| names(&line.text, engine))
        },
    );
}

#[test]
fn these_rules_can_be_broken() {
    assert!(names("use poem::Route;", "poem") && !names("use poem_openapi::x;", "poem"));
    assert!(uses("use crate::ballots::BallotBox;", "ballots"));
    assert!(uses("use crate::ballots;", "ballots") && uses("use crate::{ballots, db};", "ballots"));
    assert!(!uses("use crate::ballots_of_paper::x;", "ballots"));
    assert_eq!(
        (module("src/auth/keys.rs"), module("src/clock.rs")),
        ("auth", "clock")
    );
    let program = lines();
    assert!(
        program
            .iter()
            .any(|line| line.text.contains("Timestamp::now"))
    );
    assert!(program.iter().any(|line| names(&line.text, "poem")));
    assert!(program.iter().any(|line| names(&line.text, "DbBackend")));
}
