//! Answers that are files to be saved.

use std::io;
use std::marker::PhantomData;

use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};

use super::problem;
use super::reply::meta_header;
use crate::downloads::Download;

/// Which files an operation answers with.
pub trait Files {
    /// Their media types.
    fn content() -> Vec<MetaMediaType>;

    /// Registers the schemas that these name.
    fn register(registry: &mut Registry);
}

/// 200 with a file that is written while it is sent.
pub struct Attachment<F> {
    media: &'static str,
    name: String,
    download: Download,
    files: PhantomData<fn() -> F>,
}

impl<F> Attachment<F> {
    /// `title` becomes the name of the file, with what would mislead in a name left out.
    pub fn new(media: &'static str, title: &str, extension: &str, download: Download) -> Self {
        Attachment {
            media,
            name: format!("{}.{extension}", words(title)),
            download,
            files: PhantomData,
        }
    }
}

impl<F> IntoResponse for Attachment<F> {
    fn into_response(self) -> Response {
        let pieces = self.download.map(|piece| {
            piece.map_err(|failure| {
                // The head is sent already: all that can be done is to break the body off.
                problem::log(&failure);
                io::Error::other(failure)
            })
        });
        Response::builder()
            .content_type(self.media)
            .header(CONTENT_DISPOSITION, disposition(&self.name))
            .header(CACHE_CONTROL, "no-store")
            .body(Body::from_bytes_stream(pieces))
    }
}

impl<F: Files> ApiResponse for Attachment<F> {
    fn meta() -> MetaResponses {
        let name = "`attachment`, and what the file may be called.";
        let response = MetaResponse {
            description: "",
            status: Some(200),
            status_range: None,
            content: F::content(),
            headers: vec![meta_header("Content-Disposition", name)],
        };
        MetaResponses {
            responses: vec![response],
        }
    }

    fn register(registry: &mut Registry) {
        F::register(registry);
    }
}

/// How many characters of a title a name has.
const MAX_NAME: usize = 60;

/// The letters and digits of a title, with hyphens between the words: no separator of folders, no
/// dot, nothing that is not seen.
fn words(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(MAX_NAME).collect();
    match name.trim_end_matches('-') {
        "" => "file".to_owned(),
        name => name.to_owned(),
    }
}

/// What RFC 8187, section 3.2.1, calls `attr-char`, apart from letters and digits.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The header (RFC 6266): a name in ASCII, and where that is not all, the whole name.
fn disposition(name: &str) -> String {
    if name.is_ascii() {
        return format!("attachment; filename=\"{name}\"");
    }
    let ascii: String = name.chars().filter(char::is_ascii).collect();
    let ascii = ascii.trim_start_matches(['-', '.']);
    let ascii = if ascii.contains('.') {
        ascii.to_owned()
    } else {
        format!("file.{ascii}")
    };
    let whole = utf8_percent_encode(name, ATTR_CHAR);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_harmless_and_in_any_script() {
        let header = |title: &str| disposition(&format!("{}.csv", words(title)));
        assert_eq!(
            header("Lunch: \"../../etc\\passwd\"\r\n; or tea?"),
            "attachment; filename=\"Lunch-etc-passwd-or-tea.csv\""
        );
        assert_eq!(header("?!"), "attachment; filename=\"file.csv\"");
        assert_eq!(
            header("最受欢迎"),
            "attachment; filename=\"file.csv\"; \
             filename*=UTF-8''%E6%9C%80%E5%8F%97%E6%AC%A2%E8%BF%8E.csv"
        );
        assert_eq!(
            header("Rust版本 2"),
            "attachment; filename=\"Rust-2.csv\"; filename*=UTF-8''Rust%E7%89%88%E6%9C%AC-2.csv"
        );
        assert!(words(&"long ".repeat(100)).chars().count() <= MAX_NAME);
    }
}
