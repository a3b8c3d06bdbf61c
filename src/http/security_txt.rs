//! `/.well-known/security.txt` (RFC 9116): whom to tell about a weakness.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use poem::Response;
use poem::endpoint::make_sync;

use super::site::Site;
use crate::clock::{Clock, Time};
use crate::config::{self, Contact};

/// How long the file may be relied on, in days. The text is made anew for each request.
const DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60;

const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    ),
    (
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    ),
];

/// Adds the file if `server.contact` is an email address or an `https` address; the RFC allows no
/// others.
pub fn add(site: Site, server: &config::Server, clock: &Clock) -> Site {
    let contact = match &server.contact {
        Some(Contact::Email(email)) => format!("mailto:{email}"),
        Some(Contact::Page(page)) if page.scheme() == "https" => page.to_string(),
        _ => return site,
    };
    let path = "/.well-known/security.txt";
    let mut fields = format!("Contact: {contact}\n");
    if let Some(origin) = &server.public_url {
        fields.push_str(&format!("Canonical: {origin}{path}\n"));
    }
    let clock = clock.clone();
    let answer = make_sync(move |_| {
        let text = format!("{fields}Expires: {}\n", expiry(clock.now()));
        let mut response = Response::from(text);
        response.headers_mut().extend(HEADERS);
        response
    });
    site.get(path, answer)
}

/// Midnight, so that the text changes once a day.
fn expiry(now: Time) -> Time {
    let day = now.seconds().div_euclid(DAY) + DAYS;
    Time(day.saturating_mul(DAY * 1_000_000))
}
