//! The web page: its files, its addresses, and frames for other people's pages; and the pages of the
//! documentation.
//!
//! The page itself, in `page/`, uses nothing but the public API. This module serves it: one HTML
//! shell for all addresses, in which the scripts show the content. The operator may serve a folder
//! instead.

mod assets;
mod beneath;
mod docs;
mod fixed;
mod folder;
mod plain;
mod shell;

use std::sync::Arc;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use poem::endpoint::make;
use poem::{Request, Response};
use uuid::Uuid;

use self::assets::{FILES, FOLDER};
use self::folder::Folder;
use self::shell::{About, Shell};
use crate::config::{Config, Origin, Origins};
use crate::failure::{Code, Failure};
use crate::http::asset::Asset;
use crate::http::{API, Site};
use crate::results::Views;

/// The addresses of the page, each with the module that shows it. `main.js` has the same list.
const PAGES: [(&str, &str); 12] = [
    (START, "questions.js"),
    ("/questions", "questions.js"),
    ("/questions/new", "editor.js"),
    (QUESTION, "question.js"),
    ("/questions/{question_id}/edit", "editor.js"),
    ("/register", "entry.js"),
    ("/login", "entry.js"),
    ("/reset", "recovery.js"),
    ("/i", "invitation.js"),
    ("/refuse", "invitation.js"),
    ("/account", "account.js"),
    ("/admin", "admin.js"),
];
const START: &str = "/";
const QUESTION: &str = "/questions/{question_id}";
const FRAME: &str = "/embed/{question_id}";

const HTML: &str = "text/html; charset=utf-8";
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// What a page may do: load its own scripts, styles and pictures, and call its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors";

/// Adds the documentation, and the page or the folder of the operator that replaces it.
pub fn add(mut site: Site, config: &Config, views: Views) -> Site {
    let compression = config.http.compression;
    for file in FILES {
        let asset = Asset::new(file.media(), file.text).with(CACHE_CONTROL, FOR_EVER);
        let path = format!("{}/{}", *FOLDER, file.name);
        site = site.get(&path, asset.endpoint(compression));
    }
    site = plain::add(site, config);
    if config.http.docs {
        site = docs::add(site, config);
    }
    if !config.web.enabled {
        return site;
    }
    let origins = origins(&config.web.embed_origins);
    let frame = fixed(shell::frame(), policy(&origins));
    site = site.get(FRAME, frame.endpoint(compression));
    site = fixed::add_script(site, compression);

    if let Some(root) = &config.web.root {
        let folder = Folder::new(root.clone(), &config.web);
        let answer = make(move |request: Request| {
            let folder = folder.clone();
            async move { folder.answer(&request).await }
        });
        // The folder answers only what has no other route.
        return site.fallback([], answer);
    }
    site = fixed::add(site, compression);
    let shell = Arc::new(Shell::new(config));
    let page = |module| own(shell.page(About::Polls(module)));
    for (path, module) in PAGES {
        if path != START && path != QUESTION {
            site = site.get(path, page(Some(module)).endpoint(compression));
        }
    }
    let of_question = {
        let shell = shell.clone();
        make(move |request: Request| {
            let (shell, views) = (shell.clone(), views.clone());
            async move { question(&request, &shell, &views, compression).await }
        })
    };
    let start = page(Some("questions.js"));
    // poem's router passes the start page to the fallback, too.
    let others = Arc::new((start, shell));
    let others = make(move |request: Request| {
        let others = others.clone();
        async move {
            match request.uri().path() {
                START => others.0.answer(request.headers(), compression).await,
                path if path.ends_with('/') && is_page(path.trim_matches('/')) => {
                    Ok(without_slash(&request))
                }
                _ => nowhere(&request, &others.1).await,
            }
        }
    });
    site.get(QUESTION, of_question).fallback([START], others)
}

/// A page of HTML. Clients revalidate it each time.
fn fixed(html: String, policy: HeaderValue) -> Asset {
    Asset::new(HTML, html)
        .with(CACHE_CONTROL, ASK_AGAIN)
        .with(CONTENT_SECURITY_POLICY, policy)
        .with(REFERRER_POLICY, SAME_ORIGIN)
        .with(OPENER_POLICY, SAME_ORIGIN)
}

/// A page of our own, which nobody may put into a frame.
fn own(html: String) -> Asset {
    fixed(html, policy("'none'")).with(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The page of a question, which tells those who only look at its head what the question is.
async fn question(
    request: &Request,
    shell: &Shell,
    views: &Views,
    compression: bool,
) -> Result<Response, Failure> {
    let id = request.raw_path_param("question_id").unwrap_or_default();
    let Ok(id) = id.parse::<Uuid>() else {
        return nowhere(request, shell).await;
    };
    let html = match views.find(id, None).await {
        Ok(view) => shell.page(About::Question(&view)),
        // It may have been deleted: its author can still see it, and the page is for them too.
        Err(failure) if failure.code == Code::NotFound => return nowhere(request, shell).await,
        // The page itself will try again, and say so.
        Err(_) => shell.page(About::Polls(Some("question.js"))),
    };
    own(html).answer(request.headers(), compression).await
}

/// An address that is not known: people get the page, which says so; programs get a problem.
async fn nowhere(request: &Request, shell: &Shell) -> Result<Response, Failure> {
    if !is_navigation(request) || is_in_api(request.original_uri().path()) {
        let detail = "There is nothing at this address.";
        return Err(Failure::new(Code::NotFound, detail));
    }
    let page = own(shell.page(About::Polls(None)));
    let mut response = page.answer(&HeaderMap::new(), false).await?;
    response.set_status(StatusCode::NOT_FOUND);
    Ok(response)
}

/// Whether a path, without the slashes around it, is a page's.
fn is_page(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    PAGES.iter().any(|(page, _)| {
        let named: Vec<&str> = page[1..].split('/').collect();
        let fits = |(named, part): (&&str, &&str)| named.starts_with('{') || named == part;
        named.len() == parts.len() && named.iter().zip(&parts).all(fits)
    })
}

/// Leads from `/questions/` to `/questions`.
fn without_slash(request: &Request) -> Response {
    let mut response = Response::from(StatusCode::PERMANENT_REDIRECT);
    // More than one slash at the beginning would make the first part another host.
    let mut target = format!("/{}", request.uri().path().trim_matches('/'));
    if let Some(query) = request.uri().query() {
        target = format!("{target}?{query}");
    }
    if let Ok(target) = HeaderValue::try_from(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

/// Whether somebody has opened the address in a browser, rather than a program asked for it.
fn is_navigation(request: &Request) -> bool {
    request.method() == Method::GET && names_html(request.headers())
}

fn names_html(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(ACCEPT)
        .and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// `/api` and all below it is for programs, whatever version they look for.
fn is_in_api(path: &str) -> bool {
    let top = API.split('/').nth(1);
    path.split('/').nth(1) == top
}

fn policy(ancestors: &str) -> HeaderValue {
    // Origins are made of what headers may have.
    HeaderValue::try_from(format!("{POLICY} {ancestors}"))
        .unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

fn origins(origins: &Origins) -> String {
    match origins {
        Origins::Any => "*".to_owned(),
        Origins::Only(origins) if origins.is_empty() => "'none'".to_owned(),
        Origins::Only(origins) => {
            let origins: Vec<&str> = origins.iter().map(Origin::as_str).collect();
            origins.join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_same_addresses_and_modules() {
        let main = FILES.iter().find(|file| file.name == "main.js").unwrap();
        let (_, routes) = main.text.split_once("const routes = [\n").unwrap();
        let (routes, _) = routes.split_once("\n]").unwrap();
        let routes = routes.lines().map(|route| {
            let mut parts = route.split(['"', '`']);
            let path = parts.nth(1).unwrap().replace("${ID}", "{question_id}");
            let module = parts.nth(1).unwrap().trim_start_matches("./");
            (path, module)
        });
        let expected = PAGES.map(|(path, module)| (path.to_owned(), module));
        assert_eq!(routes.collect::<Vec<_>>(), expected);
    }
}
