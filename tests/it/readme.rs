//! The README and the documents that it links to: links resolve, tables are complete, files and
//! settings that they name exist, quoted code is part of programs that are run, and the tour prints
//! what the README shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::process::Run;
use crate::support::require::{installed, program};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn file(name: &str) -> String {
    let path = format!("{ROOT}/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

/// The contents of the fenced code blocks of these languages, in their order.
fn blocks<'a>(text: &'a str, languages: &[&str]) -> Vec<&'a str> {
    let mut blocks = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        let (language, block) = part.split_once('\n').unwrap_or((part, ""));
        if index % 2 == 1 && languages.contains(&language) {
            blocks.push(block);
        }
    }
    blocks
}

/// The text without its fenced code blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The section of this heading.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap_or_default()
}

/// The cells of the rows of a section's first table, without the heading.
fn table(section: &str) -> Vec<Vec<String>> {
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    };
    rows.map(cells).collect()
}

/// The targets of the links and images of a document.
fn links(text: &str) -> Vec<String> {
    let link = pattern(r#"\]\(([^)\s]+)\)|(?:src|href)="([^"]+)""#);
    let prose = prose(text);
    let found = link
        .captures_iter(&prose)
        .filter_map(|link| link.get(1).or(link.get(2)));
    found.map(|target| target.as_str().to_owned()).collect()
}

/// The anchors that GitHub gives the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// A path beneath the repository, without `..`.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(resolved.pop(), "{path:?} is outside"),
            part => resolved.push(part),
        }
    }
    resolved
}

/// All documents that the README leads to, by path; and the links that lead nowhere.
fn documents() -> (BTreeMap<PathBuf, String>, Vec<String>) {
    let mut documents = BTreeMap::new();
    let mut broken = Vec::new();
    let mut next = vec![PathBuf::from("README.md")];
    while let Some(path) = next.pop() {
        if documents.contains_key(&path) {
            continue;
        }
        let text = file(&path.display().to_string());
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match target {
                "" => path.clone(),
                target => resolved(&path.with_file_name("").join(target)),
            };
            let is_document = target
                .extension()
                .is_some_and(|extension| extension == "md");
            let is_there = Path::new(ROOT).join(&target).exists();
            if !is_there
                || !anchor.is_empty()
                    && !anchors(&file(&target.display().to_string())).contains(anchor)
            {
                broken.push(format!("{}: {link}", path.display()));
            } else if is_document {
                next.push(target);
            }
        }
        documents.insert(path, text);
    }
    (documents, broken)
}

#[test]
fn every_link_of_the_documents_resolves() {
    let (documents, broken) = documents();
    assert!(broken.is_empty(), "{broken:#?}");
    for path in [
        "CHANGELOG.md",
        "src/ballots/SECRECY.md",
        "config/deploy/README.md",
        "tests/README.md",
        "tests/bench/README.md",
        "tests/bench/peers/README.md",
        "tests/clients/README.md",
    ] {
        assert!(
            documents.contains_key(Path::new(path)),
            "nothing links to {path}"
        );
    }
}

#[test]
fn the_files_that_the_documents_and_the_tour_name_exist() {
    let named = pattern(r"`((?:src|tests|config|migration|openapi|\.ci)/[\w./@-]+)`");
    let (mut documents, _) = documents();
    documents.insert("src/lib.rs".into(), file("src/lib.rs"));
    let mut found = 0;
    for (path, text) in documents {
        for name in named.captures_iter(&text) {
            let is_there = Path::new(ROOT).join(&name[1]).exists();
            assert!(is_there, "{}: {}", path.display(), &name[1]);
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn the_settings_that_the_documents_name_exist() {
    let defaults: Value = serde_yaml::from_str(&file("config/default.yaml")).expect("YAML");
    let sections = defaults.as_object().expect("sections");
    let names: Vec<_> = sections.keys().map(String::as_str).collect();
    // Several settings of one kind are named with an asterisk.
    let setting = pattern(&format!(r"`({})\.([a-z_]+)(?::[^`]*)?`", names.join("|")));
    let (documents, _) = documents();
    for (path, text) in documents
        .iter()
        .filter(|(path, _)| !path.ends_with("CHANGELOG.md"))
    {
        for found in setting.captures_iter(text) {
            let known = defaults[&found[1]].get(&found[2]).is_some();
            assert!(known, "{}: {}", path.display(), &found[0]);
        }
    }
    let readme = file("README.md");
    let rows = table(section(&readme, "Configuration"));
    assert_eq!(rows.len(), 11);
    for row in rows {
        let (section, key) = row[0].split_once('.').expect("a setting");
        let default = match &defaults[section][key] {
            Value::Null => "none".to_owned(),
            Value::Array(values) => match values.as_slice() {
                [] => "none".to_owned(),
                values => values.iter().map(text_of).collect::<Vec<_>>().join(", "),
            },
            value => text_of(value),
        };
        assert!(
            default == row[1] || default.starts_with(&format!("{},", row[1])),
            "{}: {default}",
            row[0]
        );
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_owned)
}

#[test]
fn the_readme_lists_every_endpoint() {
    let document: Value = serde_json::from_str(&file("openapi/polls.json")).expect("JSON");
    let mut expected = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let security = operation["security"].as_array();
            let needs_token =
                security.is_some_and(|ways| !ways.is_empty() && !ways.contains(&json!({})));
            expected.insert((method.to_uppercase(), path.clone(), needs_token));
        }
    }
    let readme = file("README.md");
    let rows = table(section(&readme, "Endpoints")).into_iter();
    let rows: BTreeSet<_> = rows
        .map(|row| (row[0].clone(), row[1].clone(), row[2] != "anyone"))
        .collect();
    assert_eq!(rows, expected);
}

/// Runs the commands of the tour as a reader would, and compares what they print with the README.
#[test]
fn the_tour_prints_what_the_readme_shows() {
    if installed("curl", "curl", program("curl")).is_none() {
        return;
    }
    let readme = file("README.md");
    let tour = section(&readme, "Five minutes with curl");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::serve(folder.path(), &["--port", "0"]);
    let commands = blocks(tour, &["sh"]).concat();
    let commands = commands.replace("http://127.0.0.1:8080", &server.address);
    let printed = Run::of(&mut Command::new("bash"), &commands).done();
    let shown = blocks(tour, &["json", "text"]).concat();
    assert_eq!(without_chance(&printed), without_chance(&shown));
}

/// The text without what differs from run to run, and without white space.
fn without_chance(text: &str) -> String {
    let changes = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"(id|retry): \d+", "$1: NUMBER"),
        (r"\s", ""),
    ];
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        pattern(from).replace_all(&text, *to).into_owned()
    })
}

#[test]
fn the_client_guide_quotes_programs_that_are_run() {
    let guide = file("tests/clients/README.md");
    for (language, comment, stories) in [
        (
            "ts",
            "//",
            &["openapi-fetch/story.ts", "orval/story.ts"][..],
        ),
        (
            "python",
            "#",
            &["python/story.py", "openapi-generator-python/story.py"],
        ),
        ("rust", "//", &["rust/src/main.rs"]),
    ] {
        let stories = stories
            .iter()
            .map(|story| file(&format!("tests/clients/{story}")));
        let stories: Vec<String> = stories.collect();
        let quoted = blocks(&guide, &[language]);
        assert!(quoted.len() >= stories.len(), "too little {language}");
        for block in quoted {
            let missing = |story: &String| {
                let lines: Vec<&str> = story.lines().map(str::trim).collect();
                let quoted = block.lines().map(str::trim);
                quoted
                    .filter(|line| !line.starts_with(comment) && !lines.contains(line))
                    .count()
            };
            let least = stories.iter().map(missing).min();
            assert_eq!(
                least,
                Some(0),
                "{language}: no story has all lines of\n{block}"
            );
        }
    }
}

#[test]
fn these_checks_can_fail() {
    let text = "# A b, c\n[x](y.md#z) <img src=\"p.png\">\n```sh\n[no](link)\n```\n## D\n\n| h |\n|---|\n| `a` | b |\n";
    assert_eq!(links(text), ["y.md#z", "p.png"]);
    assert_eq!(anchors(text), ["a-b-c".to_owned(), "d".to_owned()].into());
    assert_eq!(blocks(text, &["sh"]), ["[no](link)\n"]);
    assert_eq!(table(section(text, "D")), [["a", "b"]]);
    assert_eq!(
        without_chance("id: 7\n2026-11-27T07:23:02.1Z x"),
        "id:NUMBERTIMEx"
    );
}
