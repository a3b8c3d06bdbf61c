//! A folder of the operator's, served instead of the page.
//!
//! Nothing outside of it can be reached: not by dots, not by any way to write them, and not by
//! symbolic links, unless those are allowed to. Whoever may write into the folder is trusted with
//! what it holds, not with the rest of the machine.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use poem::{Body, Request, Response};
use tokio::io::AsyncReadExt as _;
use tokio::task::spawn_blocking;

use super::beneath::{self, Found, Links};
use super::{ASK_AGAIN, is_in_api, is_navigation};
use crate::config;
use crate::failure::{Code, Failure};
use crate::http::conditional::names;
use crate::markup::escaped;

/// Up to this many bytes a file is read at once, so that it can be compressed.
const AT_ONCE: u64 = 1 << 20;

const INDEX: &str = "index.html";

/// A folder that is served. Clones share it.
#[derive(Clone)]
pub struct Folder(Arc<Settings>);

struct Settings {
    root: PathBuf,
    show_index: bool,
    links: Links,
}

/// What an address leads to.
enum Target {
    File(Opened),
    /// To the same address with a slash at its end.
    Moved,
    Listing(Response),
}

/// A file that was opened. Everything that is told of it comes from the open file, never from its
/// path, which may lead elsewhere by now.
struct Opened {
    file: File,
    metadata: Metadata,
    /// The media type, by the name in the address.
    media: String,
}

impl Folder {
    pub fn new(root: PathBuf, config: &config::Web) -> Folder {
        Folder(Arc::new(Settings {
            root,
            show_index: config.show_index,
            links: match config.follow_symlinks {
                true => Links::Followed,
                false => Links::Within { is_public },
            },
        }))
    }

    pub async fn answer(&self, request: &Request) -> Result<Response, Failure> {
        let path = request.original_uri().path();
        if request.method() != Method::GET || is_in_api(path) {
            return Err(nothing());
        }
        let relative = relative(path).ok_or_else(nothing)?;
        let (slash, navigation) = (path.ends_with('/'), is_navigation(request));
        let settings = self.0.clone();
        let found = spawn_blocking(move || settings.target(&relative, slash, navigation));
        match found.await.map_err(Failure::internal)?? {
            Target::File(opened) => send(request, opened).await,
            Target::Moved => Ok(moved(path)),
            Target::Listing(listing) => Ok(listing),
        }
    }
}

/// These calls block.
impl Settings {
    fn target(&self, relative: &Path, slash: bool, navigation: bool) -> Result<Target, Failure> {
        match self.find(relative) {
            Some(Found::File(file)) => return open(file, relative).map(Target::File),
            Some(Found::Folder(folder)) => {
                let index = relative.join(INDEX);
                if let Some(Found::File(file)) = self.find(&index) {
                    // Its links are meant from within the folder.
                    return match slash {
                        true => open(file, &index).map(Target::File),
                        false => Ok(Target::Moved),
                    };
                }
                if self.show_index {
                    let names = folder.names().map_err(Failure::internal)?;
                    return Ok(Target::Listing(self.listing(names, relative)));
                }
            }
            None => {}
        }
        // An address of the single-page application, which renders it in the browser.
        let index = Path::new(INDEX);
        match self.find(index) {
            Some(Found::File(file)) if navigation => open(file, index).map(Target::File),
            _ => Err(nothing()),
        }
    }

    /// What is there and may be served.
    fn find(&self, relative: &Path) -> Option<Found> {
        // What cannot be opened is not there for a client, whatever the reason.
        beneath::open(&self.root, relative, self.links).ok()
    }

    fn listing(&self, names: Vec<String>, relative: &Path) -> Response {
        let public = names.into_iter().filter(|name| is_public(name));
        let mut names: Vec<String> = public
            .filter_map(|name| match self.find(&relative.join(&name))? {
                Found::File(_) => Some(name),
                Found::Folder(_) => Some(name + "/"),
            })
            .collect();
        names.sort_unstable();
        let base: String = relative
            .iter()
            .filter_map(|part| part.to_str())
            .map(|part| format!("{}/", encoded(part)))
            .collect();
        let items: String = names
            .iter()
            .map(|name| {
                let slash = if name.ends_with('/') { "/" } else { "" };
                let address = encoded(name.trim_end_matches('/'));
                format!(
                    "<li><a href=\"/{base}{address}{slash}\">{}</a></li>\n",
                    escaped(name)
                )
            })
            .collect();
        let title = escaped(&format!("/{}", relative.display()));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{items}</ul>\n</html>\n"
        );
        let mut response = Response::from(html);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(super::HTML));
        headers.insert(CACHE_CONTROL, ASK_AGAIN);
        let policy = "default-src 'none'; frame-ancestors 'none'";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        response
    }
}

fn open(file: File, path: &Path) -> Result<Opened, Failure> {
    let metadata = file.metadata().map_err(Failure::internal)?;
    let media = media(path);
    Ok(Opened {
        file,
        metadata,
        media,
    })
}

fn nothing() -> Failure {
    Failure::new(Code::NotFound, "There is nothing at this address.")
}

/// The path beneath the root that an address means; none where it means nothing there.
fn relative(path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut relative = PathBuf::new();
    if path.is_empty() {
        return Some(relative);
    }
    for part in path.split('/') {
        // Part by part, so that a slash in disguise stays within its part, where none may be.
        let part = percent_decode_str(part).decode_utf8().ok()?;
        let plain = |letter: char| !letter.is_control() && !matches!(letter, '/' | '\\');
        if part.is_empty() || !part.chars().all(plain) || !is_public(&part) {
            return None;
        }
        relative.push(&*part);
    }
    Some(relative)
}

/// Whether a name is not hidden. `.` and `..` are names with a dot like others.
fn is_public(name: &str) -> bool {
    !name.starts_with('.')
}

/// A name as a part of an address.
fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn moved(path: &str) -> Response {
    let mut response = Response::from(StatusCode::PERMANENT_REDIRECT);
    // More than one slash would make the first part another host.
    let target = format!("/{}/", path.trim_matches('/'));
    if let Ok(target) = HeaderValue::try_from(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

/// Sends a file, or the part that is asked for, or 304.
async fn send(request: &Request, opened: Opened) -> Result<Response, Failure> {
    let tag = tag(&opened.metadata);
    let asked = request.headers();
    let known = asked
        .get(IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    let mut response = if known.is_some_and(|known| names(known, &tag)) {
        Response::from(StatusCode::NOT_MODIFIED)
    } else {
        let part = part(asked, opened.metadata.len());
        let content = content(opened, part);
        content.await.map_err(Failure::internal)?
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::try_from(tag).map_err(Failure::internal)?);
    headers.insert(CACHE_CONTROL, ASK_AGAIN);
    if is_html(headers) {
        let policy = HeaderValue::from_static("frame-ancestors 'self'");
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

fn is_html(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"text/html"))
}

/// Weak, since the file may be sent compressed under the same one.
fn tag(metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    let (file, size) = (metadata.ino(), metadata.len());
    format!("W/\"{file:x}.{seconds:x}.{nanoseconds:x}.{size:x}\"")
}

/// The bytes that are asked for, where it is one range that the file has. All else may be ignored
/// (RFC 9110, section 14.2), as must be a range of what the client has only by a weak tag.
fn part(asked: &HeaderMap, size: u64) -> Option<Range<u64>> {
    if asked.contains_key(IF_RANGE) {
        return None;
    }
    let range = asked.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return None,
    };
    (part.start < part.end).then_some(part)
}

async fn content(opened: Opened, part: Option<Range<u64>>) -> io::Result<Response> {
    let Opened {
        mut file,
        metadata,
        media,
    } = opened;
    let (size, all) = (metadata.len(), part.is_none());
    let part = part.unwrap_or(0..size);
    let (start, length) = (part.start, part.end - part.start);
    let read = spawn_blocking(move || {
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        if length <= AT_ONCE {
            (&file).take(length).read_to_end(&mut bytes)?;
        }
        Ok::<_, io::Error>((file, bytes))
    });
    let (file, bytes) = read.await.map_err(io::Error::other)??;
    let body = match length <= AT_ONCE {
        true => Body::from(bytes),
        false => Body::from_async_read(tokio::fs::File::from_std(file).take(length)),
    };
    let mut response = Response::from(StatusCode::OK);
    response.set_body(body);
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(CONTENT_TYPE, media);
    if length > AT_ONCE {
        set(CONTENT_LENGTH, length.to_string());
    }
    set(ACCEPT_RANGES, "bytes".to_owned());
    if !all {
        let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        set(CONTENT_RANGE, range);
        response.set_status(StatusCode::PARTIAL_CONTENT);
    }
    Ok(response)
}

fn media(path: &Path) -> String {
    let media = mime_guess::from_path(path).first_or_octet_stream();
    let text = media.type_() == mime_guess::mime::TEXT;
    match text && media.get_param(mime_guess::mime::CHARSET).is_none() {
        true => format!("{media}; charset=utf-8"),
        false => media.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_beneath_the_root() {
        let fine = |path, expected: &str| assert_eq!(relative(path), Some(expected.into()));
        fine("/", "");
        fine("/a/b.js", "a/b.js");
        fine("/a/", "a");
        fine("/%E6%8A%95%E7%A5%A8.html", "投票.html");
        fine("/a%20b", "a b");
        // What remains after one decoding is a name, not a path.
        fine("/%252e%252e", "%2e%2e");
        for evil in [
            "/..",
            "/../etc/passwd",
            "/a/../../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/.%2e/x",
            "/..%2fetc%2fpasswd",
            "/a%2fb",
            "/a%5cb",
            "/..\\x",
            "/%00",
            "/a%00.js",
            "/a%0ab",
            "/.env",
            "/a/.git/config",
            "/%2eenv",
            "/.well-known/x",
            "//etc/passwd",
            "/a//b",
            "/%ff",
            "/%c0%ae%c0%ae/x",
            "a",
            "",
        ] {
            assert_eq!(relative(evil), None, "{evil}");
        }
    }

    #[test]
    fn ranges_are_those_that_the_file_has() {
        let part = |range: &str| {
            let headers = HeaderMap::from_iter([(RANGE, range.parse().unwrap())]);
            part(&headers, 100)
        };
        assert_eq!(part("bytes=0-0"), Some(0..1));
        assert_eq!(part("bytes=10-"), Some(10..100));
        assert_eq!(part("bytes=-10"), Some(90..100));
        assert_eq!(part("bytes=-1000"), Some(0..100));
        assert_eq!(part("bytes=90-18446744073709551615"), Some(90..100));
        for other in [
            "bytes=100-",
            "bytes=5-4",
            "bytes=-0",
            "bytes=-",
            "bytes=+1-2",
            "bytes=0-1,5-6",
            "lines=0-1",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(part(other), None, "{other}");
        }
    }
}
