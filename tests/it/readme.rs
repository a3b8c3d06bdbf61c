//! The README's programs are parts of programs that are run: see `tests/clients`.

fn file(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of code of this language, line by line.
fn quoted<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    blocks.flat_map(str::lines).map(str::trim).collect()
}

#[test]
fn what_the_readme_quotes_is_run() {
    let readme = file("README.md");
    for (language, comment, story) in [
        ("ts", "//", "openapi-fetch/story.ts"),
        ("python", "#", "python/story.py"),
        ("rust", "//", "rust/src/main.rs"),
    ] {
        let story = file(&format!("tests/clients/{story}"));
        let lines: Vec<&str> = story.lines().map(str::trim).collect();
        let quoted = quoted(&readme, language);
        assert!(!quoted.is_empty(), "no {language}");
        for line in quoted.iter().filter(|line| !line.starts_with(comment)) {
            assert!(
                lines.contains(line),
                "{language}: {line} is not in the story"
            );
        }
    }
}
