//! Results as a picture, for chats, READMEs, and wherever else only pictures can be shown.
//!
//! SVG has no way to ask how wide a text is, so widths are estimated: text that might not fit is
//! cut or wrapped a little early.

use std::fmt::Write as _;

use super::{ChoiceResult, Results};
use crate::markup::escaped;

/// In pixels; pictures may be shown at any size.
const WIDTH: f64 = 640.0;
const MARGIN: f64 = 24.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;
const TITLE: f64 = 21.0;
const TITLE_LINE: f64 = 28.0;
const TITLE_LINES: usize = 3;
const TEXT: f64 = 15.0;
const BAR: f64 = 38.0;
const STEP: f64 = BAR + 8.0;
/// The width that is kept free for the numbers of a bar.
const NUMBERS: f64 = 130.0;

/// How many choices are shown. Of more, those with the most votes are.
const MAX_CHOICES: usize = 12;

const STYLE: &str = "text{font:15px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',\
    'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif;fill:#1d1c1a}\
    .title{font-size:21px;font-weight:700}.soft{fill:#5f5b55}.number{text-anchor:end;font-weight:600}\
    .lead{font-weight:600}.paper{fill:#fff;stroke:#e2ded7}.track{fill:#f4f3f0}\
    .bar{fill:#d3e9e3}.lead.bar{fill:#a9d9cd}\
    @media(prefers-color-scheme:dark){text{fill:#ebe9e4}.soft{fill:#a7a39b}\
    .paper{fill:#1b1f1e;stroke:#2f3433}.track{fill:#252a29}.bar{fill:#21403a}.lead.bar{fill:#2a6557}}";

/// The results of `question_text` as an SVG document. It is in Chinese where the question is.
pub fn picture(question_text: &str, results: &Results) -> String {
    let words = Words::of(question_text);
    let lines = wrapped(question_text, INNER / TITLE, TITLE_LINES);
    let shown = shown(results);
    let top = MARGIN + TITLE_LINE * lines.len() as f64 + 12.0;
    let height = top + STEP * shown.len() as f64 + 20.0 + MARGIN;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\"/>\n",
        escaped(question_text),
        escaped(&description(results)),
        WIDTH - 1.0,
        height - 1.0,
    );
    for (index, line) in lines.iter().enumerate() {
        let y = MARGIN + TITLE_LINE * (index as f64 + 0.75);
        let line = escaped(line);
        text(&mut svg, "title", MARGIN, y, &line);
    }
    for (index, choice) in shown.iter().enumerate() {
        let leads = results.leading_choice_ids.contains(&choice.id);
        row(&mut svg, choice, leads, top + STEP * index as f64);
    }
    let left_out = results.choices.len() - shown.len();
    let foot = words.foot(results.ballot_count, left_out, results.is_final);
    text(&mut svg, "soft", MARGIN, height - MARGIN, &foot);
    svg.push_str("</svg>\n");
    svg
}

fn row(svg: &mut String, choice: &ChoiceResult, leads: bool, y: f64) {
    let lead = if leads { "lead" } else { "" };
    let full = INNER;
    // Without a minimum: a choice without votes has no bar.
    let width = (full * choice.share.min(1.0)).round();
    let radius = 8.0_f64.min(width / 2.0);
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<rect class=\"track\" x=\"{MARGIN}\" y=\"{y}\" width=\"{full}\" height=\"{BAR}\" rx=\"8\"/>\
         <rect class=\"{lead} bar\" x=\"{MARGIN}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" rx=\"{radius}\"/>"
    );
    let label = cut(&choice.choice_text, (INNER - NUMBERS - 14.0) / TEXT);
    let middle = y + BAR / 2.0 + 5.0;
    text(svg, lead, MARGIN + 14.0, middle, &escaped(&label));
    let right = WIDTH - MARGIN - 14.0;
    text(svg, "number", right - 56.0, middle, &percent(choice.share));
    let votes = choice.votes.to_string();
    text(svg, "soft number", right, middle, &votes);
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, content: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{content}</text>"
    );
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
        let (text, share) = (&choice.choice_text, percent(choice.share));
        format!("{text}: {} ({share})", choice.votes)
    });
    choices.collect::<Vec<_>>().join("; ")
}

fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round() / 10.0;
    format!("{tenths}%")
}

/// The language of the words below the bars.
enum Words {
    English,
    Chinese,
}

impl Words {
    fn of(text: &str) -> Words {
        let chinese =
            |letter| matches!(letter, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}');
        match text.contains(chinese) {
            true => Words::Chinese,
            false => Words::English,
        }
    }

    fn foot(&self, ballots: i64, left_out: usize, is_final: bool) -> String {
        let mut parts = Vec::new();
        match self {
            Words::English => {
                let plural = if ballots == 1 { "" } else { "s" };
                parts.push(format!("{ballots} ballot{plural}"));
                if left_out > 0 {
                    parts.push(format!("{left_out} more choices"));
                }
                if is_final {
                    parts.push("final".to_owned());
                }
            }
            Words::Chinese => {
                parts.push(format!("{ballots} 人投票"));
                if left_out > 0 {
                    parts.push(format!("另有 {left_out} 个选项"));
                }
                if is_final {
                    parts.push("最终结果".to_owned());
                }
            }
        }
        parts.join(" · ")
    }
}

/// How wide a letter is, in parts of the font's size.
fn width(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.34,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.95,
        'A'..='Z' => 0.72,
        '\u{300}'..='\u{36f}' => 0.0,
        '\0'..='\u{2e7f}' => 0.6,
        // East Asian letters and pictures.
        _ => 1.05,
    }
}

fn width_of(text: &str) -> f64 {
    text.chars().map(width).sum()
}

/// As much as fits, with an ellipsis where that is not all.
fn cut(text: &str, room: f64) -> String {
    if width_of(text) <= room {
        return text.to_owned();
    }
    let mut used = width('…');
    let fitting = text.chars().take_while(|letter| {
        used += width(*letter);
        used <= room
    });
    let mut cut: String = fitting.collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
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
        let mut used = 0.0;
        let end = rest.char_indices().find(|(_, letter)| {
            used += width(*letter);
            used > room
        });
        let end = end.map_or(rest.len(), |(at, _)| at);
        let space = rest[..end].rfind(' ').filter(|space| space * 2 > end);
        let (line, after) = rest.split_at(space.unwrap_or(end));
        lines.push(line.trim_end().to_owned());
        rest = after.trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Time;

    fn results(votes: &[i64]) -> Results {
        let choice = |(index, votes): (usize, &i64)| ChoiceResult {
            id: Uuid::from_u128(index as u128),
            choice_text: format!("choice {index}"),
            votes: *votes,
            share: *votes as f64 / 10.0,
        };
        Results {
            question_id: Uuid::nil(),
            ballot_count: 10,
            choices: votes.iter().enumerate().map(choice).collect(),
            leading_choice_ids: vec![Uuid::from_u128(0)],
            is_final: false,
            revision: 1,
            as_of: Time(0),
        }
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
        assert!(picture("Which?", &results(&[1, 2])).contains(">10 ballots<"));
        assert!(picture("哪一个?", &results(&[1, 2])).contains(">10 人投票<"));
    }

    #[test]
    fn long_texts_are_wrapped_and_cut() {
        let words = "word ".repeat(60);
        let lines = wrapped(words.trim(), 28.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("word") && lines[2].ends_with('…'));
        let chinese = wrapped(&"字".repeat(60), 28.0, 3);
        assert!(chinese.len() == 3 && chinese[0].chars().count() == 26);
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
