//! `/openapi.json`, `/openapi.yaml` and, at `/docs`, Swagger UI.
//!
//! Nothing here asks any other host for anything: the assets are in the program, and the page's
//! content security policy holds it to that.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, Method};
use poem::Route;
use poem::endpoint::make;
use poem_openapi::OpenApiService;
use serde_json::Value;

use super::file;
use crate::config;
use crate::http::asset::Asset;
use crate::http::routes::Operation;

const DOCUMENT: [&str; 2] = ["/openapi.json", "/openapi.yaml"];
const DOCS: [&str; 3] = ["/docs", "/docs/swagger-ui.css", "/docs/swagger-ui.js"];

/// What [`mount`] adds, for the table of routes.
pub fn operations(docs: bool) -> impl Iterator<Item = Operation> {
    let docs = DOCS.into_iter().filter(move |_| docs);
    DOCUMENT
        .into_iter()
        .chain(docs)
        .map(|path| Operation::new(Method::GET, path))
}

/// Adds the document and, where it is configured, Swagger UI to a router.
pub fn mount(route: Route, document: &Value, config: &config::Http) -> Route {
    // A document that came from JSON has a form in YAML.
    let yaml = serde_yaml::to_string(document).unwrap_or_default();
    let mut pages = vec![
        (DOCUMENT[0], page("application/json", file::text(document))),
        (DOCUMENT[1], page("application/yaml", yaml)),
    ];
    if config.docs {
        let assets = Assets::of_poem();
        pages.extend([
            (DOCS[0], page("text/html; charset=utf-8", PAGE)),
            (DOCS[1], page("text/css; charset=utf-8", assets.style)),
            (
                DOCS[2],
                page("text/javascript; charset=utf-8", assets.script + START),
            ),
        ]);
    }
    let compression = config.compression;
    pages.into_iter().fold(route, |route, (path, page)| {
        let page = Arc::new(page);
        let answer = move |request: poem::Request| {
            let page = page.clone();
            async move { page.answer(request.headers(), compression).await }
        };
        route.at(path, make(answer))
    })
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
    use poem::{Endpoint, Request, Response};
    use serde_json::json;

    use super::*;

    fn site(docs: bool) -> Route {
        let loaded = config::load(&config::Sources::default()).unwrap();
        let config = config::Http {
            docs,
            ..loaded.config.http
        };
        mount(
            Route::new(),
            &json!({"openapi": "3.0.3", "paths": {"/x": {}}}),
            &config,
        )
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
        for operation in operations(true).filter(|operation| operation.path != "/docs") {
            let asset = get(&site, &operation.path, &[]).await;
            let asset = asset.into_body().into_string().await.unwrap();
            assert!(!asset.trim().is_empty(), "{}", operation.path);
            linked += usize::from(page.contains(&operation.path));
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
