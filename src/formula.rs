//! Text in cells of a spreadsheet, which must not be run as a formula.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, in some languages also the wide
//! forms of these, and some strip a tab or carriage return before. An apostrophe in front makes the
//! cell a text. Where the spreadsheet separates cells by semicolons although the file has commas, a
//! cell also begins behind each semicolon.
//!
//! Source: OWASP, "CSV Injection", <https://owasp.org/www-community/attacks/CSV_Injection>.

const GUARD: char = '\'';

const SEPARATOR: char = ';';

/// What a formula begins with, or what is stripped before.
const BEGINNINGS: [char; 10] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];

/// The text with an apostrophe wherever a formula would begin, and before such an apostrophe that it
/// has itself.
pub fn guarded(text: &str) -> String {
    let cells = text.split(SEPARATOR).map(|cell| match needs_guard(cell) {
        true => format!("{GUARD}{cell}"),
        false => cell.to_owned(),
    });
    cells.collect::<Vec<_>>().join(&SEPARATOR.to_string())
}

/// The text that was [guarded].
pub fn unguarded(text: &str) -> String {
    let cells = text
        .split(SEPARATOR)
        .map(|cell| match cell.strip_prefix(GUARD) {
            Some(rest) if needs_guard(rest) => rest,
            _ => cell,
        });
    cells.collect::<Vec<_>>().join(&SEPARATOR.to_string())
}

/// Whether a cell would be run, or be taken for a guarded one.
fn needs_guard(cell: &str) -> bool {
    let content = cell.trim_start_matches([GUARD, ' ']);
    content.starts_with(BEGINNINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_as_a_formula_and_every_text_comes_back() {
        let letters = ['=', '＝', '@', '\'', ' ', ';', '\t', 'a', '1'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = texts
                .iter()
                .flat_map(|text| letters.map(|letter| format!("{text}{letter}")));
            texts = longer.collect();
            for text in &texts {
                let guarded = guarded(text);
                assert_eq!(unguarded(&guarded), *text);
                for cell in guarded.split(SEPARATOR) {
                    assert!(
                        !cell.trim_start().starts_with(BEGINNINGS),
                        "{text:?}: {guarded:?}"
                    );
                }
            }
        }
        assert_eq!(guarded("'tis; a=b"), "'tis; a=b");
        assert_eq!(guarded("=A1;+B1;c"), "'=A1;'+B1;c");
    }
}
