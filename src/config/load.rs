use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format, Yaml, YamlExtended};
use figment::value::{Dict, Empty, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::secret::{Exposure, MASK, mask_url};
use super::{Config, Problem, Problems, manual, rules};

/// The name of the lowest layer.
const DEFAULT: &str = "default";

/// The sources of settings, weakest first. `config/default.yaml` is below all of them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of `--config`. It must exist.
    pub file: Option<PathBuf>,
    /// Where to look for a file if neither `--config` nor `POLLS_CONFIG` names one.
    pub usual_files: Vec<PathBuf>,
    /// The environment, of which `POLLS_CONFIG` and `POLLS__SECTION__KEY` are read.
    pub environment: BTreeMap<String, OsString>,
    /// Settings from the command line; the last wins.
    pub flags: Vec<Flag>,
}

/// A setting from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user writes it, such as `--port`.
    pub name: String,
    /// `section.key`.
    pub key: String,
    pub value: String,
}

impl Sources {
    /// The environment of this process and the usual files, relative to its working directory.
    pub fn of_process() -> Sources {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Sources {
            usual_files: vec!["./config/polls.yaml".into(), "/etc/polls/polls.yaml".into()],
            environment,
            ..Sources::default()
        }
    }
}

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Every key in the order of `config/default.yaml`.
    pub settings: Vec<Setting>,
}

/// A value in effect and where it was set. Displayed as `key: value  # layer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    /// The value as it was written, with secrets masked.
    pub value: String,
    /// A file, an environment variable, a flag, or `default`.
    pub layer: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}  # {}", self.key, self.value, self.layer)
    }
}

/// Merges the layers and checks the result.
///
/// # Errors
/// All mistakes, as far as one does not hide another.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut layers = Layers::default();
    layers.merge_file(sources);
    layers.merge_environment(&sources.environment);
    for flag in &sources.flags {
        layers.merge_text(&flag.name, &flag.key, &flag.value);
    }
    let mut merged = layers.finish();
    let config = merged.extract();
    // Settings missing from an unreadable file must not be reported as contradictions.
    if !merged.problems.iter().any(|problem| problem.key.is_empty()) {
        rules::check(&config, &mut merged);
    }
    if merged.problems.is_empty() {
        let settings = merged.settings();
        Ok(Loaded { config, settings })
    } else {
        Err(Problems(merged.problems))
    }
}

/// Merges the layers one by one; drops and reports unknown keys.
struct Layers {
    figment: Figment,
    problems: Vec<Problem>,
}

impl Default for Layers {
    #[expect(
        clippy::expect_used,
        reason = "a test holds that the embedded file is valid"
    )]
    fn default() -> Self {
        let values = Yaml::from_str(manual::DEFAULTS).expect("config/default.yaml is YAML");
        Layers {
            figment: Figment::from(Layer::new(DEFAULT, values)),
            problems: Vec::new(),
        }
    }
}

impl Layers {
    fn merge_file(&mut self, sources: &Sources) {
        let variable = sources.environment.get("POLLS_CONFIG");
        let variable = variable.filter(|path| !path.is_empty());
        let named = match (&sources.file, variable) {
            (Some(path), _) => Some((path.clone(), "--config")),
            (None, Some(path)) => Some((path.into(), "POLLS_CONFIG")),
            (None, None) => None,
        };
        if let Some((path, by)) = named {
            match std::fs::read_to_string(&path) {
                Ok(text) => self.merge_yaml(&path, &text),
                Err(error) => self.unreadable(&path, &format!("{by} names this file, but"), &error),
            }
            return;
        }
        for path in &sources.usual_files {
            match std::fs::read_to_string(path) {
                Ok(text) => return self.merge_yaml(path, &text),
                Err(error) if is_absent(&error) => {}
                Err(error) => return self.unreadable(path, "This file exists, but", &error),
            }
        }
    }

    fn unreadable(&mut self, path: &Path, but: &str, error: &io::Error) {
        let message = format!("{but} it cannot be read: {error}.");
        self.report(&path.display().to_string(), "", message);
    }

    fn merge_yaml(&mut self, path: &Path, text: &str) {
        let layer = &path.display().to_string();
        // Unlike `Yaml`, this refuses duplicate keys.
        match YamlExtended::from_str(text) {
            Ok(Value::Dict(_, values)) => self.merge(layer, values),
            Ok(Value::Empty(..)) => {}
            Ok(_) => self.report(layer, "", shape_of_all()),
            Err(error) => self.report(layer, "", format!("This is not valid YAML: {error}.")),
        }
    }

    fn merge_environment(&mut self, environment: &BTreeMap<String, OsString>) {
        for (name, value) in environment {
            let Some(path) = name.strip_prefix("POLLS__") else {
                continue;
            };
            let layer = format!("the environment variable {name}");
            let key = path.replace("__", ".").to_lowercase();
            match value.to_str() {
                Some(value) => self.merge_text(&layer, &key, value),
                None => self.report(&layer, &key, "The value is not UTF-8.".to_owned()),
            }
        }
    }

    /// Merges one setting given as text. Its type parses the text later, so that a password of
    /// digits stays text.
    fn merge_text(&mut self, layer: &str, key: &str, text: &str) {
        let value = match text {
            "" => Value::Empty(Tag::Default, Empty::Unit),
            text => Value::from(text),
        };
        let (section, value) = match key.split_once('.') {
            Some((section, name)) => (section, Value::from(Dict::from([(name.to_owned(), value)]))),
            None => (key, value),
        };
        self.merge(layer, Dict::from([(section.to_owned(), value)]));
    }

    fn merge(&mut self, layer: &str, values: Dict) {
        let mut fitting = Dict::new();
        for (section, value) in values {
            if manual::names(&section).is_empty() {
                self.report(layer, &section, no_such_key(&section));
                continue;
            }
            match value {
                Value::Dict(tag, mut values) => {
                    values.retain(|name, _| {
                        let known = manual::entry(&section, name).is_some();
                        if !known {
                            let path = format!("{section}.{name}");
                            self.report(layer, &path, no_such_key(&path));
                        }
                        known
                    });
                    fitting.insert(section, Value::Dict(tag, values));
                }
                // A section in which all keys are commented out.
                Value::Empty(..) => {}
                _ => self.report(layer, &section, shape_of(&section)),
            }
        }
        let figment = std::mem::take(&mut self.figment);
        self.figment = figment.merge(Layer::new(layer, fitting));
    }

    /// Reports a mistake that does not belong to a known key. The value is not shown, since it may
    /// be a secret.
    fn report(&mut self, layer: &str, key: &str, message: String) {
        self.problems.push(Problem {
            layer: layer.to_owned(),
            key: key.to_owned(),
            found: None,
            message,
        });
    }

    fn finish(self) -> Merged {
        Merged {
            figment: self.figment,
            problems: self.problems,
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn no_such_key(path: &str) -> String {
    let section = path.split_once('.').map_or("", |(section, _)| section);
    match (manual::nearest(path), manual::names(section)) {
        (Some(meant), _) => format!("There is no such key. Did you mean {meant}?"),
        (None, names) if names.is_empty() => format!("There is no such key. {}", shape_of_all()),
        (None, _) => format!("There is no such key. {}", shape_of(section)),
    }
}

fn shape_of_all() -> String {
    format!("The sections are {}.", manual::sections().join(", "))
}

fn shape_of(section: &str) -> String {
    let names = manual::names(section).join(", ");
    format!("The section {section} has the keys {names}.")
}

/// All layers merged, with the known keys only, and the problems found so far.
pub struct Merged {
    figment: Figment,
    problems: Vec<Problem>,
}

impl Merged {
    /// Reports a mistake in a value.
    pub fn report(&mut self, key: &str, reason: &str) {
        let allowed = manual::find(key).map_or("", |entry| &entry.allowed);
        self.problems.push(Problem {
            layer: self.layer(key),
            key: key.to_owned(),
            found: Some(self.shown(key)),
            message: format!("{reason} Allowed: {allowed}"),
        });
    }

    /// Whether no problem with these keys has been found so far.
    pub fn are_sound(&self, keys: &[&str]) -> bool {
        let mut bad = self.problems.iter().map(|problem| problem.key.as_str());
        !bad.any(|bad| keys.contains(&bad))
    }

    /// Whether a layer above the default sets the key.
    pub fn is_set(&self, key: &str) -> bool {
        self.layer(key) != DEFAULT
    }

    /// The value as a number that can be compared; see [`manual::Entry::quantity`].
    pub fn quantity(&self, key: &str) -> Option<u128> {
        let entry = manual::find(key)?;
        match self.figment.find_value(key).ok()? {
            Value::String(_, text) => entry.quantity(&text),
            value => entry.quantity(&written(&value)),
        }
    }

    /// The value as it was written, with secrets masked.
    pub fn shown(&self, key: &str) -> String {
        match (self.figment.find_value(key), Exposure::of(key)) {
            (Err(_) | Ok(Value::Empty(..)), _) => "null".to_owned(),
            (Ok(value), Exposure::Public) => written(&value),
            (Ok(Value::String(_, url)), Exposure::MaskedUrl) => line(&mask_url(&url)),
            (Ok(Value::String(_, urls)), Exposure::MaskedUrls) => {
                let masked = urls.split(',').map(|url| mask_url(url.trim()));
                line(&masked.collect::<Vec<_>>().join(","))
            }
            (Ok(Value::Array(_, urls)), Exposure::MaskedUrls) => {
                let masked = urls.iter().map(|url| match url.as_str() {
                    Some(url) => mask_url(url),
                    None => MASK.to_owned(),
                });
                written(&Value::from(masked.collect::<Vec<_>>()))
            }
            _ => MASK.to_owned(),
        }
    }

    /// The layer that sets the value.
    pub fn layer(&self, key: &str) -> String {
        let metadata = self.figment.find_metadata(key);
        metadata.map_or(DEFAULT, |found| &found.name).to_owned()
    }

    fn settings(&self) -> Vec<Setting> {
        let keys = manual::ENTRIES.iter().map(manual::Entry::path);
        keys.map(|key| Setting {
            value: self.shown(&key),
            layer: self.layer(&key),
            key,
        })
        .collect()
    }

    /// The typed configuration, with the default in place of each value that has a problem.
    #[expect(clippy::panic, reason = "a test holds that the defaults are valid")]
    fn extract(&mut self) -> Config {
        let defaults = Layers::default().figment;
        let mut mended = self.figment.clone();
        loop {
            // Deserialization stops at the first mistake: report it, use the default, try again.
            let error = match mended.extract_lossy() {
                Ok(config) => return config,
                Err(error) => error,
            };
            let key = error.path.iter().take(2).cloned().collect::<Vec<_>>();
            let key = key.join(".");
            let default = defaults.find_value(&key).ok().filter(|_| self.is_set(&key));
            let default = default.unwrap_or_else(|| panic!("config/default.yaml: {error}"));
            self.report(&key, &reason(&error.kind));
            mended = mended.merge((key, default));
        }
    }
}

/// What is wrong with a value, without showing the value.
fn reason(kind: &Kind) -> String {
    match kind {
        Kind::Message(sentence) => sentence.clone(),
        Kind::InvalidType(Actual::Unit | Actual::Option, _) => "A value is missing.".to_owned(),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => match expected.as_str()
        {
            "a string" | "path string" => "This is not text. Put it in quotes.",
            "a boolean" => "This is neither true nor false.",
            "u16" | "u32" => "This is not a whole number, or is far out of range.",
            _ => "This has the wrong type.",
        }
        .to_owned(),
        _ => "This has the wrong type.".to_owned(),
    }
}

/// A value as one line of YAML.
fn written(value: &Value) -> String {
    match value {
        Value::String(_, text) => line(text),
        Value::Char(_, letter) => line(&letter.to_string()),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => format!("{:?}", number.to_f64().unwrap_or(f64::NAN)),
        },
        Value::Empty(..) => "null".to_owned(),
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(_, values) => {
            let entries = values.iter();
            let entries = entries.map(|(key, value)| format!("{}: {}", line(key), written(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Text as YAML, in quotes if it needs them.
fn line(text: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/.:_-+=@%,*?&".contains(letter);
    let begins = text.starts_with(|letter: char| letter.is_alphanumeric() || letter == '/');
    if begins && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Values and the name of their source.
struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    fn new(name: &str, values: Dict) -> Layer {
        Layer {
            name: name.to_owned(),
            values,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
