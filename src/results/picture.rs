//! Results as a picture, for chats, READMEs, and wherever else only pictures can be shown.
//!
//! SVG has no way to ask how wide a text is, so widths are estimated: text that might not fit is
//! cut or wrapped a little early. Text that is wider than estimated ends at the edge of its box, so
//! that it never covers the numbers.

use std::fmt::Write as _;

use icu_properties::CodePointMapData;
use icu_properties::props::BidiClass;
use unicode_segmentation::UnicodeSegmentation as _;

use super::words::{Words, isolated, percent};
use super::{ChoiceResult, Results};
use crate::clock::Time;
use crate::markup::escaped;
use crate::questions::Question;

/// In pixels; pictures may be shown at any size.
const WIDTH: f64 = 640.0;
const MARGIN: f64 = 24.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;
const TITLE: f64 = 21.0;
const TITLE_LINE: f64 = 28.0;
const TITLE_LINES: usize = 3;
const TEXT: f64 = 15.0;
const OUTCOME_LINE: f64 = 26.0;
const BAR: f64 = 38.0;
const STEP: f64 = BAR + 8.0;
/// How much wider bold text is.
const BOLD: f64 = 1.12;
/// Between the parts of a row, and around its label and numbers.
const GAP: f64 = 14.0;
/// The width of a digit or sign of the numbers.
const DIGIT: f64 = 9.6;

/// How many choices are shown. Of more, those with the most votes are.
const MAX_CHOICES: usize = 12;

const STYLE: &str = "text{font:15px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',\
    'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif;fill:#1d1c1a}\
    .title{font-size:21px;font-weight:700}.soft{fill:#5f5b55}.number{text-anchor:end;font-weight:600}\
    .lead{font-weight:600}.paper{fill:#fff;stroke:#e2ded7}.track{fill:#f4f3f0}\
    .bar{fill:#d3e9e3}.lead.bar{fill:#a9d9cd}\
    @media(prefers-color-scheme:dark){text{fill:#ebe9e4}.soft{fill:#a7a39b}\
    .paper{fill:#1b1f1e;stroke:#2f3433}.track{fill:#252a29}.bar{fill:#21403a}.lead.bar{fill:#2a6557}}";

/// The results of `question_text` as an SVG document.
pub fn picture(question_text: &str, results: &Results) -> String {
    let words = Words::of(question_text);
    let shown = shown(results);
    let columns = Columns::of(&shown);
    let outcome = words.outcome(results);
    let line = if outcome.is_some() { OUTCOME_LINE } else { 0.0 };
    let mut paper = Paper::new(question_text, STEP * shown.len() as f64 + line);
    for choice in &shown {
        let leads = results.leading_choice_ids.contains(&choice.id);
        row(&mut paper, choice, leads, columns);
    }
    if let Some(outcome) = outcome {
        let outcome = cut(&outcome, INNER / (TEXT * BOLD));
        paper.boxed("lead", MARGIN, INNER, OUTCOME_LINE, &outcome);
    }
    let mut foot = vec![words.ballots(results.ballot_count)];
    let left_out = results.choices.len() - shown.len();
    if left_out > 0 {
        foot.push(words.more_choices(left_out));
    }
    if results.is_final {
        foot.push(words.is_final().to_owned());
    }
    paper.finish(&description(results), &foot.join(" · "))
}

/// A picture of the question without its numbers, for those from whom they are hidden. It is the
/// same however people vote.
pub fn card(question: &Question, now: Time) -> String {
    let words = Words::of(&question.question_text);
    let hidden = words.hidden(question.results_visibility);
    let mut paper = Paper::new(&question.question_text, STEP);
    paper.boxed("", MARGIN, INNER, TITLE_LINE, hidden);
    paper.finish(hidden, &words.state(question, now))
}

/// An SVG document that is filled from top to bottom.
struct Paper {
    title: String,
    content: String,
    /// How far it is filled.
    y: f64,
    height: f64,
}

impl Paper {
    /// A picture with this title, and room for content of this height.
    fn new(title: &str, height: f64) -> Paper {
        let lines = wrapped(title, INNER / (TITLE * BOLD), TITLE_LINES);
        let mut paper = Paper {
            title: escaped(title),
            content: String::new(),
            y: MARGIN,
            height: 0.0,
        };
        for line in &lines {
            paper.boxed("title", MARGIN, INNER, TITLE_LINE, line);
            paper.y += TITLE_LINE;
        }
        paper.y += 12.0;
        paper.height = paper.y + height + 20.0 + MARGIN;
        paper
    }

    /// Adds a line of text in a box, which cuts off what is too wide.
    fn boxed(&mut self, class: &str, x: f64, width: f64, height: f64, content: &str) {
        // Without this, marks at the end of a line stand on its wrong side.
        let direction = match is_right_to_left(content) {
            true => " direction=\"rtl\" text-anchor=\"end\"",
            false => "",
        };
        let (y, middle, content) = (self.y, height / 2.0 + 5.0, escaped(content));
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.content,
            "<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">\
             <text class=\"{class}\" y=\"{middle}\"{direction}>{content}</text></svg>"
        );
    }

    fn finish(self, description: &str, foot: &str) -> String {
        let Paper {
            title,
            content,
            height,
            ..
        } = self;
        let (right, bottom, foot_y) = (WIDTH - 1.0, height - 1.0, height - MARGIN);
        let (description, foot) = (escaped(description), escaped(foot));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
             <desc>{description}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{right}\" height=\"{bottom}\" rx=\"14\"/>\n\
             {content}<text class=\"soft\" x=\"{MARGIN}\" y=\"{foot_y}\">{foot}</text>\n</svg>\n"
        )
    }
}

/// Where the numbers of all rows end, and how wide their labels may be.
#[derive(Clone, Copy)]
struct Columns {
    label: f64,
    percent: f64,
    votes: f64,
}

impl Columns {
    fn of(choices: &[&ChoiceResult]) -> Columns {
        let widest = |number: &dyn Fn(&ChoiceResult) -> String| {
            let lengths = choices.iter().map(|choice| number(choice).chars().count());
            DIGIT * lengths.max().unwrap_or(0) as f64
        };
        let votes = WIDTH - MARGIN - GAP;
        let percents = votes - widest(&|choice| choice.votes.to_string()) - GAP;
        let label = percents - widest(&|choice| percent(choice.share)) - GAP;
        Columns {
            label: label - MARGIN - GAP,
            percent: percents,
            votes,
        }
    }
}

fn row(paper: &mut Paper, choice: &ChoiceResult, leads: bool, columns: Columns) {
    let (lead, weight) = if leads { ("lead", BOLD) } else { ("", 1.0) };
    let y = paper.y;
    // Without a minimum: a choice without votes has no bar.
    let width = (INNER * choice.share.min(1.0)).round();
    let radius = 8.0_f64.min(width / 2.0);
    let _ = writeln!(
        paper.content,
        "<rect class=\"track\" x=\"{MARGIN}\" y=\"{y}\" width=\"{INNER}\" height=\"{BAR}\" rx=\"8\"/>\
         <rect class=\"{lead} bar\" x=\"{MARGIN}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" rx=\"{radius}\"/>"
    );
    let label = cut(&choice.choice_text, columns.label / (TEXT * weight));
    paper.boxed(lead, MARGIN + GAP, columns.label, BAR, &label);
    let middle = y + BAR / 2.0 + 5.0;
    for (class, x, number) in [
        ("number", columns.percent, percent(choice.share)),
        ("soft number", columns.votes, choice.votes.to_string()),
    ] {
        let _ = writeln!(
            paper.content,
            "<text class=\"{class}\" x=\"{x}\" y=\"{middle}\">{number}</text>"
        );
    }
    paper.y += STEP;
}

/// Whether a text begins in a script that is written from right to left, as HTML's `dir=auto`
/// decides.
fn is_right_to_left(text: &str) -> bool {
    let classes = CodePointMapData::<BidiClass>::new();
    let strong = text
        .chars()
        .map(|letter| classes.get(letter))
        .find(|class| {
            [
                BidiClass::LeftToRight,
                BidiClass::RightToLeft,
                BidiClass::ArabicLetter,
            ]
            .contains(class)
        });
    strong.is_some_and(|class| class != BidiClass::LeftToRight)
}

/// The choices that are shown, in their order.
fn shown(results: &Results) -> Vec<&ChoiceResult> {
    let mut all: Vec<&ChoiceResult> = results.choices.iter().collect();
    if all.len() > MAX_CHOICES {
        let mut votes: Vec<i64> = all.iter().map(|choice| choice.votes).collect();
        votes.sort_unstable_by(|one, other| other.cmp(one));
        let least = votes[MAX_CHOICES - 1];
        // Of the choices with just as many votes, the first ones.
        let mut room = MAX_CHOICES - votes.iter().filter(|votes| **votes > least).count();
        all.retain(|choice| {
            let fits = choice.votes == least && room > 0;
            room -= usize::from(fits);
            fits || choice.votes > least
        });
    }
    all
}

/// The numbers as text, for screen readers.
fn description(results: &Results) -> String {
    let choices = results.choices.iter().map(|choice| {
        let (text, share) = (isolated(&choice.choice_text), percent(choice.share));
        format!("{text}: {} ({share})", choice.votes)
    });
    choices.collect::<Vec<_>>().join("; ")
}

/// How wide a letter is, in parts of the font's size.
fn width(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.36,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 1.0,
        'A'..='Z' => 0.76,
        // Marks that are drawn over the letter before.
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0.0,
        '\0'..='\u{2e7f}' => 0.64,
        // Pictures.
        '\u{1f000}'.. => 1.3,
        // East Asian letters.
        _ => 1.05,
    }
}

fn width_of(text: &str) -> f64 {
    text.graphemes(true).map(width_of_grapheme).sum()
}

/// The width of what is read as one character. Several pictures that are joined are drawn as one.
fn width_of_grapheme(grapheme: &str) -> f64 {
    match grapheme.chars().next() {
        Some(first @ '\u{1f000}'..) => width(first),
        _ => grapheme.chars().map(width).sum(),
    }
}

/// As much as fits, with an ellipsis where that is not all.
fn cut(text: &str, room: f64) -> String {
    if width_of(text) <= room {
        return text.to_owned();
    }
    let fitting = &text[..fitting(text, room - width_of("…"))];
    format!("{}…", fitting.trim_end())
}

/// Where the part of a text ends that fits.
fn fitting(text: &str, room: f64) -> usize {
    let mut used = 0.0;
    let beyond = text.grapheme_indices(true).find(|(_, grapheme)| {
        used += width_of_grapheme(grapheme);
        used > room
    });
    beyond.map_or(text.len(), |(at, _)| at)
}

/// Lines that fit, broken between words where there are any.
fn wrapped(text: &str, room: f64, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if lines.len() + 1 == most || width_of(rest) <= room {
            lines.push(cut(rest, room));
            break;
        }
        // At least one character, however wide it is.
        let first = rest.graphemes(true).next().map_or(rest.len(), str::len);
        let end = fitting(rest, room).max(first);
        let space = rest[..end].rfind(' ').filter(|space| space * 2 > end);
        let (line, after) = rest.split_at(space.unwrap_or(end));
        lines.push(line.trim_end().to_owned());
        rest = after.trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::Example as _;
    use uuid::Uuid;

    use super::*;

    fn results(votes: &[i64]) -> Results {
        let choice = |(index, votes): (usize, &i64)| ChoiceResult {
            id: Uuid::from_u128(index as u128),
            choice_text: format!("choice {index}"),
            votes: *votes,
            share: *votes as f64 / 10.0,
        };
        let mut results = Results::example();
        results.ballot_count = 10;
        results.choices = votes.iter().enumerate().map(choice).collect();
        results.leading_choice_ids = vec![Uuid::from_u128(0)];
        results.outcome.elected_choice_ids = vec![Uuid::from_u128(0)];
        results
    }

    #[test]
    fn text_is_text_whatever_it_says() {
        let mut results = results(&[5, 2]);
        results.choices[0].choice_text = "</text><script>alert(1)</script>\u{fffe}".to_owned();
        let svg = picture("<b>\"1\" & '2'</b>]]>", &results);
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{fffe}'));
        assert!(svg.contains("&lt;b&gt;&quot;1&quot; &amp; &#39;2&#39;&lt;/b&gt;]]&gt;"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn it_speaks_the_language_of_the_question() {
        assert!(picture("Which?", &results(&[1, 2])).contains(">10 voters<"));
        assert!(picture("哪一个?", &results(&[1, 2])).contains(">10 人参与<"));
    }

    #[test]
    fn it_states_the_outcome() {
        let mut results = results(&[3, 3, 1]);
        let says = |results: &Results, words: &str| {
            picture("Which?", results).contains(&format!(">{words}<"))
        };
        assert!(says(&results, "Ahead: choice 0"));
        results.is_final = true;
        assert!(says(&results, "Elected: choice 0"));
        results.outcome.decided_by_lot = true;
        assert!(says(&results, "Elected, by lot: choice 0"));
        results.outcome.status = crate::tally::Status::Tied;
        results.outcome.tied_choice_ids = [1, 2].map(Uuid::from_u128).into();
        assert!(says(
            &results,
            "Elected: choice 0; tied: choice 1, choice 2"
        ));
        results.outcome.elected_choice_ids.clear();
        assert!(says(&results, "Tied: choice 1, choice 2"));
        assert!(picture("哪一个?", &results).contains(">并列：choice 1、choice 2<"));
        results.outcome.status = crate::tally::Status::NoVotes;
        assert!(!says(&results, "Tied: choice 1, choice 2"));
    }

    #[test]
    fn long_texts_are_wrapped_and_cut() {
        let words = "word ".repeat(60);
        let lines = wrapped(words.trim(), 28.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("word") && lines[2].ends_with('…'));
        let chinese = wrapped(&"字".repeat(60), 28.0, 3);
        assert!(chinese.len() == 3 && chinese[0].chars().count() == 26);
        let families = cut(&"👨‍👩‍👧".repeat(30), 10.0);
        assert_eq!(families, format!("{}…", "👨‍👩‍👧".repeat(7)));
        assert!(
            lines
                .iter()
                .chain(&chinese)
                .all(|line| width_of(line) <= 28.0)
        );
        assert_eq!(wrapped("short", 28.0, 3), ["short"]);
        assert_eq!(cut("short", 28.0), "short");
    }

    #[test]
    fn right_to_left_text_begins_at_the_right() {
        for (text, expected) in [
            ("مرحبا!", true),
            ("1. שלום", true),
            ("Hello שלום", false),
            ("你好!", false),
            ("123!", false),
        ] {
            assert_eq!(is_right_to_left(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_have_the_room_that_the_largest_needs() {
        let small = Columns::of(&shown(&results(&[1, 2])));
        let large = Columns::of(&shown(&results(&[1, 20_000_000])));
        assert!(large.percent < small.percent && large.label < small.label);
    }

    #[test]
    fn of_many_choices_those_with_the_most_votes_are_shown_in_their_order() {
        let mut votes = vec![1; 20];
        votes[19] = 7;
        let all = results(&votes);
        let shown: Vec<usize> = shown(&all)
            .iter()
            .map(|choice| choice.id.as_u128() as usize)
            .collect();
        assert_eq!(shown, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19]);
        assert!(picture("Which?", &all).contains("8 more choices"));
    }
}
