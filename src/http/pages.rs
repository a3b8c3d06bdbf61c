//! Plain pages: those that the `type` of a problem names, and a front page for servers without the
//! web page.

use std::fmt::Write;

use http::{HeaderValue, header};
use poem::endpoint::make_sync;
use poem::{Error, Response};

use super::site::Site;
use crate::failure::{Code, Failure};
use crate::markup::escaped;

const FRONT: &str = "<p>A polls and voting API server.</p>\n<ul>\n\
    <li><a href=\"/docs\">Try the API</a> in Swagger UI</li>\n\
    <li><a href=\"/openapi.json\">The OpenAPI document</a>, also as \
    <a href=\"/openapi.yaml\">YAML</a></li>\n\
    <li><a href=\"/problems\">What its problems mean</a></li>\n</ul>";

/// Adds the pages; the front page only if `front`.
pub fn add(site: Site, front: bool) -> Site {
    let list = list();
    let site = match front {
        true => site.get_without_limit("/", make_sync(|_| page(document("polls", FRONT)))),
        false => site,
    };
    site.get_without_limit("/problems", make_sync(move |_| page(list.clone())))
        .get_without_limit(
            "/problems/{code}",
            make_sync(|request| {
                let name = request.raw_path_param("code").unwrap_or_default();
                Code::ALL
                    .into_iter()
                    .find(|code| code.name() == name)
                    .map(|code| page(one(code)))
                    .ok_or_else(|| Error::from(Failure::not_found("problem")))
            }),
        )
}

fn page(html: String) -> Response {
    let mut response = Response::from(html);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    );
    set(header::CACHE_CONTROL, "public, max-age=3600");
    response
}

fn list() -> String {
    let mut items = String::new();
    for code in Code::ALL {
        let (name, status, title) = (code.name(), code.status(), code.title());
        // Writing to a string cannot fail.
        let _ = writeln!(
            items,
            "<li><a href=\"/problems/{name}\"><code>{name}</code></a> ({status}): {title}</li>"
        );
    }
    document("Problems", &format!("<ul>\n{items}</ul>"))
}

fn one(code: Code) -> String {
    let content = format!(
        "<p>Code <code>{}</code>, status {}.</p>\n<p>{}</p>\n<p><a href=\"/problems\">All problems</a></p>",
        code.name(),
        code.status(),
        html(code.explanation())
    );
    document(code.title(), &content)
}

fn document(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n{content}\n</html>\n"
    )
}

/// Explanations use no more of Markdown than code spans.
fn html(markdown: &str) -> String {
    let escaped = escaped(markdown);
    let mut html = String::with_capacity(escaped.len());
    for (index, part) in escaped.split('`').enumerate() {
        match index % 2 {
            0 => html.push_str(part),
            _ => {
                let _ = write!(html, "<code>{part}</code>");
            }
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use poem::{Endpoint, Request};

    use super::*;

    async fn get(path: &'static str) -> poem::Result<String> {
        let request = Request::builder().uri(path.parse().unwrap()).finish();
        let response = add(Site::default(), true)
            .into_parts([])
            .0
            .call(request)
            .await?;
        Ok(response.into_body().into_string().await.unwrap())
    }

    #[tokio::test]
    async fn every_code_has_a_page_that_the_list_leads_to() {
        let list = get("/problems").await.unwrap();
        for code in Code::ALL {
            let path = format!("/problems/{}", code.name());
            assert!(list.contains(&format!("href=\"{path}\"")));
            let page = get(path.leak()).await.unwrap();
            assert!(page.contains(code.title()));
            assert!(!page.contains('`'));
        }
    }

    #[tokio::test]
    async fn an_unknown_code_is_not_found() {
        let failure = super::super::problem::from_error(get("/problems/nope").await.unwrap_err());
        assert_eq!(failure.code, Code::NotFound);
    }
}
