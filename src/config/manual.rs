//! `config/default.yaml` as data: the keys, and what each allows. Messages quote it and ranges are
//! checked by it, so that the allowed values are written once.

use std::sync::LazyLock;

use bytesize::ByteSize;

/// The lowest layer of the configuration.
pub const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// A key and its comment.
#[derive(Debug)]
pub struct Entry {
    pub section: &'static str,
    pub name: &'static str,
    /// The text after `Allowed:` in the comment.
    pub allowed: String,
}

impl Entry {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The least and the greatest value, if the allowed values are a range such as `1s to 1d`.
    pub fn range(&self) -> Option<(u128, u128)> {
        let (least, most) = self.bounds()?;
        Some((self.quantity(least)?, self.quantity(most)?))
    }

    fn bounds(&self) -> Option<(&str, &str)> {
        self.allowed.split([',', '.']).next()?.split_once(" to ")
    }

    /// A value of this key, to be compared with others: a whole number, a duration in nanoseconds
    /// or a size in bytes. The greatest allowed value tells which: `1M` is a size of a megabyte, and
    /// a duration of a month.
    pub fn quantity(&self, text: &str) -> Option<u128> {
        let ((_, most), text) = (self.bounds()?, text.trim());
        if most.ends_with('B') {
            Some(text.parse::<ByteSize>().ok()?.0.into())
        } else if most.ends_with(|last: char| last.is_ascii_digit()) {
            text.parse().ok()
        } else {
            Some(humantime::parse_duration(text).ok()?.as_nanos())
        }
    }

    /// The key whose value is an upper limit of this one, as in `1s to 1d, at most
    /// refresh_token_ttl.`
    pub fn upper_limit(&self) -> Option<String> {
        let (_, limit) = self.allowed.split_once(", at most ")?;
        let limit = entry(self.section, limit.trim_end_matches('.'))?;
        Some(limit.path())
    }
}

/// Every key, in the file's order.
pub static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| entries(DEFAULTS));

fn entries(text: &'static str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut section, mut comment) = ("", String::new());
    for line in text.lines() {
        if let Some(words) = line.trim_start().strip_prefix('#') {
            comment.push_str(words);
        } else if let Some((key, _)) = line.split_once(':') {
            match key.strip_prefix("  ") {
                None => section = key,
                Some(name) => entries.push(Entry {
                    section,
                    name,
                    allowed: match comment.split_once("Allowed: ") {
                        Some((_, allowed)) => allowed.to_owned(),
                        None => String::new(),
                    },
                }),
            }
            comment.clear();
        }
    }
    entries
}

/// The entry of `section.name`.
pub fn find(path: &str) -> Option<&'static Entry> {
    let (section, name) = path.split_once('.')?;
    entry(section, name)
}

/// The entry of a key within a section.
pub fn entry(section: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES
        .iter()
        .find(|entry| entry.section == section && entry.name == name)
}

/// The sections, in the file's order.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = ENTRIES.iter().map(|entry| entry.section).collect();
    sections.dedup();
    sections
}

/// The names of a section's keys.
pub fn names(section: &str) -> Vec<&'static str> {
    let entries = ENTRIES.iter().filter(|entry| entry.section == section);
    entries.map(|entry| entry.name).collect()
}

/// From which similarity on a word is taken for a misspelling of another.
const ALIKE: f64 = 0.8;

/// The section or key that `path` is most likely a misspelling of.
pub fn nearest(path: &str) -> Option<String> {
    let section = path.split_once('.').map(|(section, _)| section);
    let name = path.rsplit('.').next().unwrap_or(path);
    let sections = sections()
        .into_iter()
        .filter(|_| section.is_none())
        .map(|known| (strsim::jaro_winkler(known, name), known.to_owned()));
    let keys = ENTRIES.iter().map(|entry| {
        let elsewhere = section.is_some_and(|section| section != entry.section);
        // Of two equally similar keys, prefer the one in the same section.
        let likeness = strsim::jaro_winkler(entry.name, name) - if elsewhere { 0.1 } else { 0.0 };
        (likeness, entry.path())
    });
    sections
        .chain(keys)
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_is_and_what_is_allowed() {
        assert_eq!(ENTRIES.len(), DEFAULTS.matches("# Allowed: ").count());
        for entry in ENTRIES.iter() {
            assert!(entry.allowed.ends_with('.'), "{}", entry.path());
        }
        let paragraphs = DEFAULTS.split("\n\n");
        for paragraph in paragraphs.filter(|paragraph| paragraph.contains("# Allowed: ")) {
            let told = paragraph
                .lines()
                .skip_while(|line| !line.starts_with("  #"));
            let first = told.map(str::trim).next().unwrap();
            assert!(!first.starts_with("# Allowed"), "{paragraph}");
        }
    }

    #[test]
    fn misspellings_are_recognised() {
        for (slip, meant) in [
            ("sever", "server"),
            ("port", "server.port"),
            ("server.prot", "server.port"),
            ("sever.port", "server.port"),
            ("database.pool.max_connections", "database.max_connections"),
            ("http.max_connection", "http.max_connections"),
            ("auth.access_ttl", "auth.access_token_ttl"),
        ] {
            assert_eq!(nearest(slip).as_deref(), Some(meant), "{slip}");
        }
        assert_eq!(nearest("server.zebra"), None);
    }
}
