//! Text search: the words of a question, looked up in a table of our own.
//!
//! Words are case-folded. Chinese, Japanese and Korean are written without spaces, so there every
//! character and every pair of neighbours is a word. The answers are the same on every database.

use std::collections::BTreeSet;

use crate::text;

/// Words are kept up to this length; longer ones are cut, alike when stored and when looked for.
const MAX_TERM: usize = 64;

/// The terms under which a text is found.
pub fn terms(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for word in words(text) {
        match word {
            Word::Spaced(word) => {
                terms.insert(word);
            }
            Word::Unspaced(characters) => {
                terms.extend(characters.iter().map(char::to_string));
                terms.extend(characters.windows(2).map(|pair| pair.iter().collect()));
            }
        }
    }
    terms
}

/// The terms that must all match. A pair says more than its two characters.
pub fn query(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for word in words(text) {
        match word {
            Word::Spaced(word) => {
                terms.insert(word);
            }
            Word::Unspaced(characters) if characters.len() == 1 => {
                terms.extend(characters.iter().map(char::to_string));
            }
            Word::Unspaced(characters) => {
                terms.extend(characters.windows(2).map(|pair| pair.iter().collect()));
            }
        }
    }
    terms
}

enum Word {
    Spaced(String),
    Unspaced(Vec<char>),
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let folded = text::fold(text);
    for run in folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|run| !run.is_empty())
    {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let unspaced = is_unspaced(first);
            let end = rest
                .find(|c| is_unspaced(c) != unspaced)
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            words.push(if unspaced {
                Word::Unspaced(word.chars().collect())
            } else {
                Word::Spaced(word.chars().take(MAX_TERM).collect())
            });
            rest = after;
        }
    }
    words
}

/// Han, kana and hangul.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{1100}'..='\u{11ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, wanted: &str) -> bool {
        let (terms, wanted) = (terms(text), query(wanted));
        !wanted.is_empty() && wanted.is_subset(&terms)
    }

    #[test]
    fn chinese_is_found_by_characters_and_pairs() {
        let text = "最受欢迎的计算机语言?";
        assert!(finds(text, "计算机") && finds(text, "语") && finds(text, "语言 欢迎"));
        assert!(!finds(text, "机算") && !finds(text, "水"));
    }

    #[test]
    fn all_words_must_match_whatever_their_case() {
        assert!(finds("Which Rust版本 is best?", "rust BEST"));
        assert!(finds("Which Rust版本 is best?", "rust版本"));
        assert!(!finds("Which Rust is best?", "rust worst"));
        assert!(!finds("Rustacean", "rust"));
    }

    #[test]
    fn very_long_words_are_cut_alike() {
        let long = "x".repeat(200);
        assert!(finds(&long, &long));
        assert!(
            terms(&long)
                .iter()
                .all(|term| term.chars().count() <= MAX_TERM)
        );
    }
}
