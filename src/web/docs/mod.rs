//! Swagger UI at `/docs`.
//!
//! The page loads nothing from other hosts: the assets are in the program, and the page's content
//! security policy forbids the rest.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use poem_openapi::OpenApiService;

use super::assets::FOLDER;
use super::plain;
use crate::config::Config;
use crate::http::Site;
use crate::http::asset::Asset;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const STYLE: &str = include_str!("docs.css");

/// Swagger UI's styles need to be inline, and its icons are data.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Adds Swagger UI, which shows `/openapi.json`.
pub fn add(site: Site, config: &Config) -> Site {
    let swagger = Swagger::of_poem();
    let header = plain::header("/docs", config);
    let filled = |text: &str| {
        text.replace("{{header}}", &header)
            .replace("{{assets}}", &FOLDER)
    };
    let files = [
        ("/docs", asset("text/html; charset=utf-8", filled(PAGE))),
        (
            "/docs/docs.css",
            asset("text/css; charset=utf-8", filled(STYLE)),
        ),
        (
            "/docs/docs.js",
            asset("text/javascript; charset=utf-8", SCRIPT),
        ),
        (
            "/docs/swagger-ui.css",
            asset("text/css; charset=utf-8", swagger.style),
        ),
        (
            "/docs/swagger-ui.js",
            asset("text/javascript; charset=utf-8", swagger.script),
        ),
    ];
    let compression = config.http.compression;
    let add = |site: Site, (path, file): (&str, Asset)| site.get(path, file.endpoint(compression));
    files.into_iter().fold(site, add)
}

fn asset(media: &'static str, text: impl Into<Bytes>) -> Asset {
    Asset::new(media, text)
        .with(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .with(CONTENT_SECURITY_POLICY, POLICY)
}

/// The files of Swagger UI, taken from the page that poem-openapi makes of them.
struct Swagger {
    style: String,
    script: String,
}

impl Swagger {
    fn of_poem() -> Swagger {
        let page = OpenApiService::new((), "", "").swagger_ui_html();
        let between = |begin: &str, end: &str| {
            let (_, rest) = page.split_once(begin)?;
            rest.split_once(end).map(|(text, _)| text.to_owned())
        };
        Swagger {
            style: between("<style charset=\"UTF-8\">", "</style>").unwrap_or_default(),
            script: between("<script charset=\"UTF-8\">", "</script>").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
    use poem::{Endpoint as _, Request, Response, Route};

    use super::*;
    use crate::config;

    fn site() -> Route {
        let loaded = config::load(&config::Sources::default()).unwrap();
        add(Site::default(), &loaded.config).into_parts([]).0
    }

    async fn get(site: &Route, path: &str, headers: &[(http::HeaderName, &str)]) -> Response {
        let mut request = Request::builder().uri(path.parse().unwrap());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        site.call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_has_all_it_needs_and_needs_nothing_else() {
        let site = site();
        let page = get(&site, "/docs", &[]).await;
        let policy = page.header(CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        let page = page.into_body().into_string().await.unwrap();
        assert!(!page.contains("//") && !page.contains("{{"), "{page}");
        for name in ["docs.css", "docs.js", "swagger-ui.css", "swagger-ui.js"] {
            let path = format!("/docs/{name}");
            let file = get(&site, &path, &[]).await;
            let file = file.into_body().into_string().await.unwrap();
            assert!(!file.trim().is_empty() && page.contains(&path), "{path}");
            assert!(!file.contains("{{assets}}"), "{path}");
        }
    }

    #[tokio::test]
    async fn the_assets_are_those_of_swagger_ui() {
        let swagger = Swagger::of_poem();
        assert!(swagger.script.contains("SwaggerUIBundle"));
        assert!(swagger.style.contains(".swagger-ui"));
        let fetches = ["@import", "url(http", "url(//", "url(\"http", "url('http"];
        assert!(fetches.iter().all(|fetch| !swagger.style.contains(fetch)));
    }

    #[tokio::test]
    async fn a_file_is_compressed_as_the_client_likes_and_sent_once() {
        let site = site();
        let plain = get(&site, "/docs/swagger-ui.css", &[]).await;
        let etag = plain.header(ETAG).unwrap().to_owned();
        let size = plain.into_body().into_bytes().await.unwrap().len();
        for coding in ["br", "gzip"] {
            let small = get(&site, "/docs/swagger-ui.css", &[(ACCEPT_ENCODING, coding)]).await;
            assert_eq!(small.header(CONTENT_ENCODING), Some(coding));
            assert_eq!(small.header(VARY), Some("Accept-Encoding"));
            assert!(small.into_body().into_bytes().await.unwrap().len() < size / 3);
        }
        let again = get(&site, "/docs/swagger-ui.css", &[(IF_NONE_MATCH, &etag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.into_body().is_empty());
    }
}
