//! `Accept` and `Accept-Encoding`, quality values included.

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName};

use crate::rendered::Coding;

impl Coding {
    /// The coding that the client prefers; none if it prefers no compression.
    pub(super) fn preferred(headers: &HeaderMap) -> Option<Coding> {
        if !headers.contains_key(ACCEPT_ENCODING) {
            return None;
        }
        let quality = |coding: &str| {
            let named = elements(headers, ACCEPT_ENCODING)
                .find(|(name, _)| name.eq_ignore_ascii_case(coding));
            named.map(|(_, quality)| quality)
        };
        let others = quality("*");
        let mut best = None;
        // The plain form is always allowed, and less liked than a coding unless it has its own q.
        let mut threshold = quality("identity").unwrap_or(0);
        for coding in [Coding::Brotli, Coding::Gzip] {
            let liked = quality(coding.name()).or(others).unwrap_or(0);
            let better = match best {
                None => liked > 0 && liked >= threshold,
                Some(_) => liked > threshold,
            };
            if better {
                (best, threshold) = (Some(coding), liked);
            }
        }
        best
    }
}

/// The media types that every client of the API reads: those of nearly all answers and of problems.
const OF_API: [&str; 2] = ["application/json", "application/problem+json"];

/// Whether the client takes one of these media types, or those of the API: there is one form of each
/// answer, and a problem may come instead. A client that does not say takes all.
pub(super) fn accepts(headers: &HeaderMap, produced: &[String]) -> bool {
    if produced.is_empty() || elements(headers, ACCEPT).next().is_none() {
        return true;
    }
    let produced = produced.iter().map(String::as_str);
    produced.chain(OF_API).any(|media| {
        // The most specific range that matches decides.
        elements(headers, ACCEPT)
            .filter_map(|(range, quality)| Some((specificity(range, media)?, quality)))
            .max_by_key(|(specificity, _)| *specificity)
            .is_some_and(|(_, quality)| quality > 0)
    })
}

fn specificity(range: &str, media: &str) -> Option<u8> {
    let media = media.split(';').next().unwrap_or(media).trim();
    if range.eq_ignore_ascii_case(media) {
        return Some(2);
    }
    match range.strip_suffix("/*") {
        Some("*") => Some(0),
        Some(kind) => {
            let (of, _) = media.split_once('/')?;
            kind.eq_ignore_ascii_case(of).then_some(1)
        }
        None => None,
    }
}

/// The elements of a list header with their quality in thousandths.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, u16)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(|parameter| {
                parameter
                    .strip_prefix("q=")
                    .or_else(|| parameter.strip_prefix("Q="))
            });
            (name, quality.map_or(1000, thousandths))
        })
        .filter(|(name, _)| !name.is_empty())
}

fn thousandths(quality: &str) -> u16 {
    match quality.parse::<f32>() {
        Ok(quality) => (quality.clamp(0.0, 1.0) * 1000.0).round() as u16,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_best_liked_coding_wins() {
        let preferred = |value| Coding::preferred(&with(ACCEPT_ENCODING, value));
        assert_eq!(preferred("gzip, deflate, br, zstd"), Some(Coding::Brotli));
        assert_eq!(preferred("gzip, br;q=0.9"), Some(Coding::Gzip));
        assert_eq!(preferred("gzip;q=0"), None);
        assert_eq!(preferred("GZIP"), Some(Coding::Gzip));
        assert_eq!(preferred("*"), Some(Coding::Brotli));
        assert_eq!(preferred("*;q=0.5, br;q=0"), Some(Coding::Gzip));
        assert_eq!(preferred("identity, gzip;q=0.5"), None);
        assert_eq!(preferred("identity;q=0.5, gzip"), Some(Coding::Gzip));
        assert_eq!(preferred("identity, *;q=0"), None);
        assert_eq!(preferred("gzip;q=nonsense"), None);
        assert_eq!(preferred(""), None);
        assert_eq!(Coding::preferred(&HeaderMap::new()), None);
    }

    #[test]
    fn whoever_reads_json_gets_the_only_form_there_is() {
        let picture = ["image/svg+xml".to_owned()];
        let accepts = |value| accepts(&with(ACCEPT, value), &picture);
        for fine in ["image/*", "application/json", "application/problem+json"] {
            assert!(accepts(fine), "{fine}");
        }
        assert!(!accepts("image/png, text/html"));
    }

    #[test]
    fn the_most_specific_range_decides() {
        let json = ["application/json; charset=utf-8".to_owned()];
        let accepts = |value| accepts(&with(ACCEPT, value), &json);
        assert!(accepts("*/*"));
        assert!(accepts("text/html, application/*;q=0.1"));
        assert!(accepts("application/json;charset=utf-8"));
        assert!(accepts(""));
        assert!(!accepts("text/html"));
        assert!(!accepts("application/json;q=0, text/*"));
        assert!(super::accepts(&HeaderMap::new(), &json));
        assert!(accepts("application/problem+json"));
        assert!(super::accepts(&with(ACCEPT, "text/html"), &[]));
    }
}
