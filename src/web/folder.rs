//! A folder of the operator's, served instead of the page.
//!
//! Nothing outside of it can be reached: not by dots, not by any way to write them, and not by
//! symbolic links, unless those are allowed to. Whoever may write into the folder is trusted with
//! what it holds, not with the rest of the machine.

use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use poem::{Body, Request, Response};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::shell::escaped;
use super::{ASK_AGAIN, is_in_api, is_navigation};
use crate::config;
use crate::failure::{Code, Failure};
use crate::http::conditional::names;

/// Up to this many bytes a file is read at once, so that it can be compressed.
const AT_ONCE: u64 = 1 << 20;

const INDEX: &str = "index.html";

pub struct Folder {
    root: PathBuf,
    show_index: bool,
    follow_symlinks: bool,
}

/// What is at a path.
enum Found {
    File(PathBuf, Metadata),
    Folder(PathBuf),
}

impl Folder {
    pub fn new(root: PathBuf, config: &config::Web) -> Folder {
        Folder {
            root,
            show_index: config.show_index,
            follow_symlinks: config.follow_symlinks,
        }
    }

    pub async fn answer(&self, request: &Request) -> Result<Response, Failure> {
        let path = request.original_uri().path();
        if request.method() != Method::GET || is_in_api(path) {
            return Err(nothing());
        }
        let relative = relative(path).ok_or_else(nothing)?;
        match self.find(&relative).await {
            Some(Found::File(file, metadata)) => send(request, &file, &metadata).await,
            Some(Found::Folder(folder)) => {
                if let Some(Found::File(file, metadata)) = self.find(&relative.join(INDEX)).await {
                    // Its links are meant from within the folder.
                    return match path.ends_with('/') {
                        true => send(request, &file, &metadata).await,
                        false => Ok(moved(path)),
                    };
                }
                if self.show_index {
                    return self.listing(&folder, &relative).await;
                }
                self.fall_back(request).await
            }
            None => self.fall_back(request).await,
        }
    }

    /// The application's own address: it knows by itself what to show there.
    async fn fall_back(&self, request: &Request) -> Result<Response, Failure> {
        if is_navigation(request)
            && let Some(Found::File(file, metadata)) = self.find(Path::new(INDEX)).await
        {
            return send(request, &file, &metadata).await;
        }
        Err(nothing())
    }

    /// What is there and may be served.
    async fn find(&self, relative: &Path) -> Option<Found> {
        // Each time anew: the root may be a link that is turned to the next release.
        let root = fs::canonicalize(&self.root).await.ok()?;
        let mut path = fs::canonicalize(root.join(relative)).await.ok()?;
        if self.follow_symlinks {
            path = root.join(relative);
        } else {
            // A link within the folder must not lead to what is hidden there, either.
            let within = path.strip_prefix(&root).ok()?;
            let mut parts = within.iter().map(|part| part.to_str());
            if !parts.all(|part| part.is_some_and(is_public)) {
                return None;
            }
        }
        let metadata = fs::metadata(&path).await.ok()?;
        // Devices and pipes could keep a reader waiting for ever.
        if metadata.is_file() {
            Some(Found::File(path, metadata))
        } else if metadata.is_dir() {
            Some(Found::Folder(path))
        } else {
            None
        }
    }

    async fn listing(&self, folder: &Path, relative: &Path) -> Result<Response, Failure> {
        let mut names = Vec::new();
        let mut entries = fs::read_dir(folder).await.map_err(Failure::internal)?;
        while let Some(entry) = entries.next_entry().await.map_err(Failure::internal)? {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_public(&name) {
                continue;
            }
            match self.find(&relative.join(&name)).await {
                Some(Found::File(..)) => names.push(name),
                Some(Found::Folder(_)) => names.push(name + "/"),
                None => {}
            }
        }
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
        Ok(response)
    }
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
async fn send(request: &Request, path: &Path, metadata: &Metadata) -> Result<Response, Failure> {
    let tag = tag(metadata);
    let asked = request.headers();
    let known = asked
        .get(IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    let mut response = if known.is_some_and(|known| names(known, &tag)) {
        Response::from(StatusCode::NOT_MODIFIED)
    } else {
        let part = part(asked, metadata.len());
        match content(path, metadata.len(), part).await {
            Ok(response) => response,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing()),
            Err(error) => return Err(Failure::internal(error)),
        }
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

async fn content(path: &Path, size: u64, part: Option<Range<u64>>) -> io::Result<Response> {
    let mut file = File::open(path).await?;
    let all = part.is_none();
    let part = part.unwrap_or(0..size);
    let length = part.end - part.start;
    file.seek(SeekFrom::Start(part.start)).await?;
    let mut file = file.take(length);
    let body = if length <= AT_ONCE {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.read_to_end(&mut bytes).await?;
        Body::from(bytes)
    } else {
        Body::from_async_read(file)
    };
    let mut response = Response::from(StatusCode::OK);
    response.set_body(body);
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(CONTENT_TYPE, media(path));
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
