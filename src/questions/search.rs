//! Text search: the terms under which a question is found. They are looked up in a
//! [table](super::term) of their own, so the answers are the same on every database.
//!
//! Words are case-folded. A word is found by its beginnings, too. Each beginning is a term: a search
//! is then a look-up of whole terms, in the order of the list, whatever is looked for. Looking for a
//! range of words would mean reading and sorting all questions of all these words.
//!
//! Chinese, Japanese and Korean are written without spaces, so there every character and every pair
//! of neighbours is a term.

use std::collections::BTreeSet;

use crate::text;

/// Words are kept up to this length; longer ones are cut, alike when stored and when looked for.
pub const MAX_LENGTH: usize = 64;

/// The length of the shortest beginnings, in characters. A single one would be in nearly every
/// question.
const MIN_BEGINNING: usize = 2;

/// How many terms are stored for a question. A question with a hundred long choices would have ten
/// times as many.
pub const MAX_TERMS: usize = 2_000;

/// The terms under which a question with these texts is found: of very long questions, those of the
/// first texts.
pub fn terms<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for term in texts.into_iter().flat_map(words).flat_map(Word::terms) {
        if terms.len() == MAX_TERMS {
            break;
        }
        terms.insert(term);
    }
    terms
}

/// The terms that a question must have to be found.
pub fn query(text: &str) -> BTreeSet<String> {
    words(text).into_iter().flat_map(Word::query).collect()
}

enum Word {
    Spaced(String),
    Unspaced(Vec<char>),
}

impl Word {
    fn terms(self) -> Vec<String> {
        match self {
            Word::Spaced(word) => {
                let ends = word.char_indices().map(|(end, _)| end).skip(MIN_BEGINNING);
                let mut terms: Vec<String> = ends.map(|end| word[..end].to_owned()).collect();
                terms.push(word);
                terms
            }
            Word::Unspaced(characters) => {
                let mut terms = pairs(&characters);
                terms.extend(characters.iter().map(char::to_string));
                terms
            }
        }
    }

    fn query(self) -> Vec<String> {
        match self {
            Word::Spaced(word) => vec![word],
            // A pair says more than its two characters.
            Word::Unspaced(characters) if characters.len() > 1 => pairs(&characters),
            Word::Unspaced(characters) => characters.iter().map(char::to_string).collect(),
        }
    }
}

fn pairs(characters: &[char]) -> Vec<String> {
    characters
        .windows(2)
        .map(|pair| pair.iter().collect())
        .collect()
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
                Word::Spaced(word.chars().take(MAX_LENGTH).collect())
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
        let (terms, wanted) = (terms([text]), query(wanted));
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
    }

    #[test]
    fn words_are_found_by_their_beginnings() {
        for wanted in [
            "lunch",
            "lun",
            "LU",
            "tog lun",
            "nai\u{308}",
            "1",
            "26",
            "b",
        ] {
            assert!(
                finds("Lunch together, naïve? 26 B or 1", wanted),
                "{wanted}"
            );
        }
        for wanted in ["l", "unch", "lunches", "lunch tea", "2"] {
            assert!(
                !finds("Lunch together, naïve? 26 B or 1", wanted),
                "{wanted}"
            );
        }
    }

    #[test]
    fn the_first_texts_of_a_very_long_question_are_found() {
        let choice = |number: u32| {
            let letters = (0..190).map(|letter| char::from_u32(0x4e00 + 190 * number + letter));
            letters
                .collect::<Option<String>>()
                .expect("Chinese characters")
        };
        let choices: Vec<String> = (0..100).map(choice).collect();
        let texts = std::iter::once("Which lunch?").chain(choices.iter().map(String::as_str));
        let terms = terms(texts);
        assert_eq!(terms.len(), MAX_TERMS);
        assert!(query("lun").is_subset(&terms) && query(&choices[4]).is_subset(&terms));
        assert!(query(&choices[6]).is_disjoint(&terms));
    }

    #[test]
    fn very_long_words_are_cut_alike() {
        let long = "x".repeat(200);
        assert!(finds(&long, &long));
        assert!(
            terms([&*long])
                .iter()
                .all(|term| term.chars().count() <= MAX_LENGTH)
        );
    }
}
