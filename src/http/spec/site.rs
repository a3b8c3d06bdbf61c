//! `/openapi.json` and `/openapi.yaml`.

use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::Value;

use super::file;
use crate::http::asset::Asset;
use crate::http::site::Site;

/// Adds the document.
pub fn add(site: Site, document: &Value, compression: bool) -> Site {
    // A document that came from JSON has a form in YAML.
    let yaml = serde_yaml::to_string(document).unwrap_or_default();
    let forms = [
        ("/openapi.json", "application/json", file::text(document)),
        ("/openapi.yaml", "application/yaml", yaml),
    ];
    forms.into_iter().fold(site, |site, (path, media, text)| {
        let asset =
            Asset::new(media, text).with(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        site.get(path, asset.endpoint(compression))
    })
}

#[cfg(test)]
mod tests {
    use poem::{Endpoint, Request};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn json_and_yaml_say_the_same() {
        let document = json!({"openapi": "3.0.3", "paths": {"/x": {}}});
        let (site, _) = add(Site::default(), &document, true).into_parts([]);
        let get = async |path| {
            let response = site
                .call(Request::builder().uri_str(path).finish())
                .await
                .unwrap();
            let media = response.content_type().map(str::to_owned);
            (media, response.into_body().into_string().await.unwrap())
        };
        let (media, json) = get("/openapi.json").await;
        assert_eq!(media.as_deref(), Some("application/json"));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), document);
        let (media, yaml) = get("/openapi.yaml").await;
        assert_eq!(media.as_deref(), Some("application/yaml"));
        assert_eq!(serde_yaml::from_str::<Value>(&yaml).unwrap(), document);
    }
}
