//! `/openapi.json`, `/openapi.yaml` and, at `/docs`, Swagger UI.
//!
//! The page loads nothing from other hosts: the assets are in the program, and the page's content
//! security policy forbids the rest.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use poem_openapi::OpenApiService;
use serde_json::Value;

use super::file;
use crate::config;
use crate::http::asset::Asset;
use crate::http::site::Site;

/// Adds the document and, where it is configured, Swagger UI.
pub fn add(site: Site, document: &Value, config: &config::Http) -> Site {
    // A document that came from JSON has a form in YAML.
    let yaml = serde_yaml::to_string(document).unwrap_or_default();
    let mut pages = vec![
        (
            "/openapi.json",
            page("application/json", file::text(document)),
        ),
        ("/openapi.yaml", page("application/yaml", yaml)),
    ];
    if config.docs {
        let assets = Assets::of_poem();
        let (style, script) = (assets.style, assets.script + START);
        pages.extend([
            ("/docs", page("text/html; charset=utf-8", PAGE)),
            (
                "/docs/swagger-ui.css",
                page("text/css; charset=utf-8", style),
            ),
            (
                "/docs/swagger-ui.js",
                page("text/javascript; charset=utf-8", script),
            ),
        ]);
    }
    let compression = config.compression;
    let add = |site: Site, (path, page): (&str, Asset)| site.get(path, page.endpoint(compression));
    pages.into_iter().fold(site, add)
}

fn page(media: &'static str, text: impl Into<Bytes>) -> Asset {
    Asset::new(media, text)
        .with(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .with(CONTENT_SECURITY_POLICY, POLICY)
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>polls: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="ui"></div>
<script src="/docs/swagger-ui.js"></script>
</html>
"#;

const START: &str = r##"
SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#ui",
    deepLinking: true,
    validatorUrl: null,
});
"##;

/// Swagger UI's styles need to be inline, and its icons are data.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Swagger UI, taken from the page that poem-openapi makes of it.
struct Assets {
    style: String,
    script: String,
}

impl Assets {
    fn of_poem() -> Assets {
        let page = OpenApiService::new((), "", "").swagger_ui_html();
        let between = |begin: &str, end: &str| {
            let (_, rest) = page.split_once(begin)?;
            rest.split_once(end).map(|(text, _)| text.to_owned())
        };
        Assets {
            style: between("<style charset=\"UTF-8\">", "</style>").unwrap_or_default(),
            script: between("<script charset=\"UTF-8\">", "</script>").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
    use poem::{Endpoint, Request, Response, Route};
    use serde_json::json;

    use super::*;

    fn site(docs: bool) -> Route {
        let loaded = config::load(&config::Sources::default()).unwrap();
        let config = config::Http {
            docs,
            ..loaded.config.http
        };
        let document = json!({"openapi": "3.0.3", "paths": {"/x": {}}});
        let site = add(Site::default(), &document, &config);
        site.into_parts([]).0
    }

    async fn get(site: &Route, path: &str, headers: &[(http::HeaderName, &str)]) -> Response {
        let mut request = Request::builder().uri(path.parse().unwrap());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        site.call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn json_and_yaml_say_the_same() {
        let site = site(false);
        let json = get(&site, "/openapi.json", &[]).await;
        assert_eq!(json.content_type(), Some("application/json"));
        let json: Value = json.into_body().into_json().await.unwrap();
        let yaml = get(&site, "/openapi.yaml", &[]).await;
        assert_eq!(yaml.content_type(), Some("application/yaml"));
        let yaml = yaml.into_body().into_string().await.unwrap();
        assert_eq!(serde_yaml::from_str::<Value>(&yaml).unwrap(), json);
        assert!(
            site.call(Request::builder().uri_str("/docs").finish())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn the_page_has_all_it_needs_and_needs_nothing_else() {
        let site = site(true);
        let page = get(&site, "/docs", &[]).await;
        let policy = page.header(CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        let page = page.into_body().into_string().await.unwrap();
        assert!(!page.contains("//"));
        let mut linked = 0;
        for path in [
            "/openapi.json",
            "/openapi.yaml",
            "/docs/swagger-ui.css",
            "/docs/swagger-ui.js",
        ] {
            let asset = get(&site, path, &[]).await;
            let asset = asset.into_body().into_string().await.unwrap();
            assert!(!asset.trim().is_empty(), "{path}");
            linked += usize::from(page.contains(path));
        }
        assert_eq!(linked, 2);
    }

    #[tokio::test]
    async fn the_assets_are_those_of_swagger_ui() {
        let assets = Assets::of_poem();
        assert!(assets.script.contains("SwaggerUIBundle"));
        assert!(assets.style.contains(".swagger-ui"));
        let fetches = ["@import", "url(http", "url(//", "url(\"http", "url('http"];
        assert!(fetches.iter().all(|fetch| !assets.style.contains(fetch)));
    }

    #[tokio::test]
    async fn a_page_is_compressed_as_the_client_likes_and_sent_once() {
        let site = site(true);
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
