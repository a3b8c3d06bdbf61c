//! Files at the addresses where browsers, crawlers and other people's pages look for them.

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use poem::Response;
use poem::endpoint::make_sync;

use crate::http::Site;
use crate::http::asset::Asset;

/// Nothing is gained by finding forms.
const ROBOTS: &str = "User-agent: *\nDisallow: /account\nDisallow: /admin\nDisallow: /embed/\n\
    Disallow: /login\nDisallow: /questions/new\nDisallow: /register\n";

const FAVICON: &[u8] = include_bytes!("favicon.ico");

/// Gives frames the height of their contents, in the pages of others.
pub const FRAME_SCRIPT: &str = include_str!("frame.js");

const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds the script for frames, which the embedded page needs whatever is at the other addresses.
pub fn add_script(site: Site, compression: bool) -> Site {
    let script = Asset::new("text/javascript; charset=utf-8", FRAME_SCRIPT)
        .with(CACHE_CONTROL, AN_HOUR)
        // Also for pages that require this of all that they load.
        .with(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    site.get("/embed.js", script.endpoint(compression))
}

/// Adds what belongs to the built-in page.
pub fn add(site: Site, compression: bool) -> Site {
    let robots = Asset::new("text/plain; charset=utf-8", ROBOTS).with(CACHE_CONTROL, AN_HOUR);
    let icon = Asset::new("image/vnd.microsoft.icon", FAVICON).with(CACHE_CONTROL, AN_HOUR);
    site.get("/robots.txt", robots.endpoint(compression))
        .get("/favicon.ico", icon.endpoint(compression))
        .get(
            "/.well-known/change-password",
            make_sync(|_| {
                let mut response = Response::from(StatusCode::FOUND);
                let account = HeaderValue::from_static("/account");
                response.headers_mut().insert(LOCATION, account);
                response
            }),
        )
}
