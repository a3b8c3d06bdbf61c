//! No silent break: the document against the one of the last release.
//!
//! `openapi/released.json` is the document as it was last released; the release replaces it. What
//! breaks a client of that one needs a version that says so, and words in the changelog.

mod compare;

use serde_json::Value;

use crate::support::contract::DOCUMENT;
use compare::breaks;

fn file(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_was_released_still_works_or_the_version_and_the_changelog_say_otherwise() {
    let released: Value = serde_json::from_str(&file("openapi/released.json")).expect("JSON");
    let silent = silent_breaks(&released, &DOCUMENT, &file("CHANGELOG.md"));
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// The breaks that the version or the changelog keeps quiet about.
fn silent_breaks(released: &Value, current: &Value, changelog: &str) -> Vec<String> {
    let version = |document: &Value| Version::of(document["info"]["version"].as_str());
    let (old, new) = (version(released), version(current));
    let told = section(
        changelog,
        current["info"]["version"].as_str().unwrap_or_default(),
    );
    let mut silent = Vec::new();
    for found in breaks(released, current) {
        let named = told.contains(&format!("`{}`", found.of));
        if !new.may_break(old) {
            silent.push(format!(
                "{found}: this needs a new version, not {new:?} after {old:?}"
            ));
        } else if !named {
            silent.push(format!(
                "{found}: CHANGELOG.md needs a line with `{}` under `### Breaking`",
                found.of
            ));
        }
    }
    silent
}

/// Of Semantic Versioning: major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u64, u64, u64);

impl Version {
    fn of(text: Option<&str>) -> Version {
        let mut numbers = text.unwrap_or_default().split('.').map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).expect("a version");
        Version(next(), next(), next())
    }

    /// Before 1.0 the minor number counts breaks.
    fn may_break(self, old: Version) -> bool {
        match self.0 {
            0 => (self.0, self.1) > (old.0, old.1),
            major => major > old.0,
        }
    }
}

/// What the changelog lists as breaking for a version, or for the one to come.
fn section(changelog: &str, version: &str) -> String {
    let versions = changelog.split("\n## ").skip(1);
    let ours =
        |text: &&str| text.starts_with("[Unreleased]") || text.starts_with(&format!("[{version}]"));
    versions
        .filter(ours)
        .flat_map(|text| text.split("\n### ").skip(1))
        .filter(|part| part.starts_with("Breaking"))
        .collect()
}

#[test]
fn a_break_is_silent_until_version_and_changelog_name_it() {
    let document = |version: &str, paths: Value| serde_json::json!({"info": {"version": version}, "paths": paths});
    let old = document(
        "0.2.1",
        serde_json::json!({"/x": {"get": {"operationId": "getX", "responses": {}}}}),
    );
    let gone = |version| document(version, serde_json::json!({}));
    let told =
        "# Changelog\n\n## [Unreleased]\n\n### Breaking\n- `getX` is gone.\n\n### Added\n- y\n";
    let elsewhere = "# Changelog\n\n## [Unreleased]\n\n### Added\n- `getX`\n\n## [0.2.1]\n\n### Breaking\n- `getX`\n";
    let silent = |version, changelog| silent_breaks(&old, &gone(version), changelog).len();
    assert_eq!(silent_breaks(&old, &old, "").len(), 0);
    for version in ["0.3.0", "1.0.0"] {
        assert_eq!(silent(version, told), 0, "{version}");
        assert_eq!(silent(version, elsewhere), 1, "{version}");
    }
    for version in ["0.2.1", "0.2.2"] {
        assert_eq!(silent(version, told), 1, "{version}");
    }
    assert!(!Version(1, 9, 0).may_break(Version(1, 2, 0)));
    assert!(Version(2, 0, 0).may_break(Version(1, 2, 0)));
}
