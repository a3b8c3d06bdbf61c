//! The languages of texts that the server writes to people.

use sea_orm::entity::prelude::*;

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(2))")]
pub enum Language {
    #[default]
    #[sea_orm(string_value = "en")]
    English,
    #[sea_orm(string_value = "zh")]
    Chinese,
}

impl Language {
    /// The language that an `Accept-Language` header prefers (RFC 9110, section 12.5.4); English
    /// where it names none of them.
    pub fn preferred(header: Option<&str>) -> Language {
        let ranges = header.unwrap_or_default().split(',');
        let known = ranges.filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let language = match parts.next()?.split('-').next()? {
                tag if tag.eq_ignore_ascii_case("en") => Language::English,
                tag if tag.eq_ignore_ascii_case("zh") => Language::Chinese,
                _ => return None,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            Some((
                weight.map_or(Some(1.0), |q| q.parse::<f32>().ok())?,
                language,
            ))
        });
        let accepted = known.filter(|(weight, _)| *weight > 0.0);
        // Of equal weights the first.
        let best = accepted.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(Language::English, |(_, language)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_highest_weight_is_chosen() {
        for (header, language) in [
            (None, Language::English),
            (Some(""), Language::English),
            (Some("de, fr;q=0.5"), Language::English),
            (Some("*"), Language::English),
            (Some("zh"), Language::Chinese),
            (Some("zh-Hans-CN,zh;q=0.9,en;q=0.8"), Language::Chinese),
            (Some("en;q=0.8, ZH-tw ; q=0.9"), Language::Chinese),
            (Some("de, zh;q=0.5, en;q=0.4"), Language::Chinese),
            (Some("en, zh"), Language::English),
            (Some("zh;q=0"), Language::English),
            (Some("zh;q=x, en"), Language::English),
        ] {
            assert_eq!(Language::preferred(header), language, "{header:?}");
        }
    }
}
