//! The files of the web page, which are in the program.
//!
//! All of them are served below one folder whose name is the hash of their contents, so that they
//! may be kept for ever, and that modules of one version find those of the same version.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A file that is served as it is.
pub struct File {
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(File { name: $name, text: include_str!(concat!("page/", $name)) }),+]
    };
}

/// What the pages load.
pub static FILES: &[File] = files![
    "icon.svg",
    "base.css",
    "style.css",
    "account.js",
    "admin.js",
    "api.js",
    "authors.js",
    "ballot.js",
    "choices.js",
    "dom.js",
    "drafts.js",
    "editor.js",
    "electorate.js",
    "embed.js",
    "entry.js",
    "explained.js",
    "facts.js",
    "form.js",
    "invitation.js",
    "live.js",
    "mail.js",
    "main.js",
    "outcome.js",
    "paper.js",
    "question.js",
    "questions.js",
    "ranking.js",
    "recovery.js",
    "results.js",
    "rules.js",
    "scoring.js",
    "session.js",
    "share.js",
    "store.js",
    "texts.js",
    "times.js",
    "watch.js",
];

/// The page with everything on it.
pub const INDEX: &str = include_str!("page/index.html");

/// The page for frames.
pub const EMBED: &str = include_str!("page/embed.html");

/// Where [`FILES`] are, such as `/web/Wm9vbQ`.
pub static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for file in FILES {
        hash.update(file.name);
        hash.update(file.text);
    }
    format!("/web/{}", URL_SAFE_NO_PAD.encode(&hash.finalize()[..12]))
});

impl File {
    pub fn media(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        }
    }

    /// The names of the modules that this module always imports. Those that it imports when they
    /// are needed, by `import()`, are not among them.
    pub fn imports(&self) -> impl Iterator<Item = &'static str> {
        let lines = self.text.lines();
        lines.filter_map(|line| line.split_once("from \"./")?.1.strip_suffix("\";"))
    }
}

/// What each module imports, so that no request has to search the texts for it.
static IMPORTS: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let files = FILES.iter();
    files
        .map(|file| (file.name, file.imports().collect()))
        .collect()
});

/// The names of these modules and of all that they need, so that the browser need not find out step
/// by step.
pub fn with_imports(names: &[&'static str]) -> Vec<&'static str> {
    let mut found = names.to_vec();
    let mut next = 0;
    while let Some(name) = found.get(next) {
        for import in IMPORTS.get(name).into_iter().flatten() {
            if !found.contains(import) {
                found.push(import);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".html"))
            .collect();
        let mut served: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        there.sort();
        served.sort_unstable();
        assert_eq!(there, served);
    }

    fn file(name: &str) -> &'static File {
        FILES.iter().find(|file| file.name == name).expect(name)
    }

    #[test]
    fn the_page_of_a_question_stays_small() {
        // Nearly a third of it are the texts of all pages in two languages.
        for (control, most) in [(None, 145_000), (Some("ranking.js"), 155_000)] {
            let modules = ["main.js", "question.js"].into_iter().chain(control);
            let mut files = with_imports(&modules.collect::<Vec<_>>());
            files.extend(["base.css", "style.css"]);
            let sizes = files.iter().map(|name| file(name).text.len());
            let all = INDEX.len() + sizes.sum::<usize>();
            assert!(files.len() < 20 && all < most, "{all} bytes in {files:?}");
        }
    }

    #[test]
    fn nothing_is_asked_of_other_hosts() {
        let texts = FILES.iter().map(|file| file.text).chain([INDEX, EMBED]);
        for text in texts {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"));
            assert!(!text.contains("innerHTML"));
        }
        // The policy would refuse them.
        assert!([INDEX, EMBED].iter().all(|html| !html.contains("style=\"")));
    }

    /// The names and texts of one language.
    fn texts(language: &str) -> Vec<(&'static str, &'static str)> {
        let file = file("texts.js");
        let start = format!("const {language} = {{\n");
        let (_, rest) = file.text.split_once(&start).unwrap();
        let (block, _) = rest.split_once("\n};").unwrap();
        let lines = block.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| line.trim_start().split_once(": ").unwrap())
            .collect()
    }

    #[test]
    fn each_text_is_there_in_both_languages() {
        let names = |language| texts(language).into_iter().map(|(name, _)| name);
        let english: Vec<_> = names("en").collect();
        let chinese: Vec<_> = names("zh").collect();
        assert!(english.len() > 100);
        assert_eq!(english, chinese);
    }

    #[test]
    fn chinese_has_its_own_punctuation() {
        let is_chinese = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
        for (name, text) in texts("zh") {
            let letters: Vec<char> = text.chars().collect();
            let mixed = letters.windows(2).any(|pair| {
                let narrow = |letter| ",.:;!?()".contains(letter);
                is_chinese(pair[0]) && narrow(pair[1]) || narrow(pair[0]) && is_chinese(pair[1])
            });
            assert!(!mixed, "{name}: {text}");
        }
    }

    /// The names of the modules that a module imports when they are needed.
    fn later(name: &str) -> impl Iterator<Item = &'static str> {
        let parts = file(name).text.split("import(\"./").skip(1);
        parts.map(|part| part.split_once("\")").unwrap().0)
    }

    #[test]
    fn imports_are_found_to_the_last() {
        assert_eq!(with_imports(&["store.js"]), ["store.js"]);
        assert_eq!(with_imports(&["session.js"]), ["session.js", "store.js"]);
        assert!(later("main.js").any(|name| name == "editor.js"));
        assert!(!with_imports(&["main.js"]).contains(&"editor.js"));
        // Nothing is served that no page loads, now or later.
        let mut found = with_imports(&["main.js", "embed.js"]);
        let mut next = 0;
        while let Some(name) = found.get(next) {
            found.extend(later(name));
            found = with_imports(&found);
            next += 1;
        }
        let scripts = FILES.iter().filter(|file| file.name.ends_with(".js"));
        let scripts: BTreeSet<_> = scripts.map(|file| file.name).collect();
        assert_eq!(BTreeSet::from_iter(found), scripts);
    }
}
