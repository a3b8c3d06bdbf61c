//! Pages without scripts: those that the `type` of a problem names, documents from the repository,
//! and a front page for servers without the web page.

use std::fmt::Write;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

use super::assets::FOLDER;
use super::own;
use crate::config::Config;
use crate::failure::Code;
use crate::http::Site;
use crate::markup::escaped;

const PAGE: &str = include_str!("plain.html");

const FRONT: &str = "<h1>polls</h1>\n<p>A polls and voting API server.</p>";

/// The documents that are served beside Swagger UI: path, title, text.
const DOCUMENTS: [(&str, &str, &str); 3] = [
    (
        "/docs/sdk",
        "Using the API from a program",
        include_str!("../../tests/clients/README.md"),
    ),
    (
        "/docs/secrecy",
        "Who can find out how somebody voted",
        include_str!("../ballots/SECRECY.md"),
    ),
    (
        "/docs/changelog",
        "Changelog",
        include_str!("../../CHANGELOG.md"),
    ),
];

/// Adds the pages; the front page only if there is no web page.
pub fn add(mut site: Site, config: &Config) -> Site {
    let compression = config.http.compression;
    let page = |path: &str, title: &str, content: &str| {
        let html = PAGE
            .replace("{{title}}", &escaped(title))
            .replace("{{header}}", &header(path, config))
            .replace("{{assets}}", &FOLDER)
            .replace("{{content}}", content);
        own(html).endpoint(compression)
    };
    if !config.web.enabled {
        site = site.get_without_limit("/", page("/", "polls", FRONT));
    }
    if config.http.docs {
        for (path, title, markdown) in DOCUMENTS {
            site = site.get(path, page(path, title, &html(markdown)));
        }
    }
    site = site.get_without_limit("/problems", page("/problems", "Problems", &problems()));
    for code in Code::ALL {
        let path = format!("/problems/{}", code.name());
        site = site.get_without_limit(&path, page(&path, code.title(), &problem(code)));
    }
    site
}

/// The top of a page: links to the pages of the documentation.
pub(super) fn header(here: &str, config: &Config) -> String {
    let docs: &[_] = match config.http.docs {
        true => &[
            ("/docs", "Try the API"),
            ("/docs/sdk", "SDK guide"),
            ("/docs/secrecy", "Secrecy of ballots"),
            ("/docs/changelog", "Changelog"),
        ],
        false => &[],
    };
    let always = [
        ("/problems", "Problems"),
        ("/openapi.json", "JSON"),
        ("/openapi.yaml", "YAML"),
    ];
    let mut links = String::new();
    for (path, name) in docs.iter().chain(&always) {
        let current = match here == *path {
            true => " aria-current=\"page\"",
            false => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(links, "<a href=\"{path}\"{current}>{name}</a>");
    }
    format!(
        "<header class=\"top\">\n\
         <a class=\"brand\" href=\"/\"><img src=\"{}/icon.svg\" alt=\"\" width=\"26\" height=\"26\">polls</a>\n\
         <nav aria-label=\"Documentation\">\n{links}</nav>\n</header>",
        *FOLDER
    )
}

fn problems() -> String {
    let mut rows = String::new();
    for code in Code::ALL {
        let (name, status, title) = (code.name(), code.status(), code.title());
        let _ = writeln!(
            rows,
            "<tr><td>{status}<td><a href=\"/problems/{name}\"><code>{name}</code></a><td>{title}"
        );
    }
    format!(
        "<h1>Problems</h1>\n\
         <p>Every failure of the API has one of these codes. Programs can rely on them.</p>\n\
         <table>\n<thead><tr><th>Status<th>Code<th>Meaning</thead>\n<tbody>\n{rows}</tbody>\n</table>"
    )
}

fn problem(code: Code) -> String {
    format!(
        "<h1>{}</h1>\n<p>Code <code>{}</code>, status {}.</p>\n{}",
        code.title(),
        code.name(),
        code.status(),
        html(code.explanation())
    )
}

/// Markdown as HTML. Headings get the ids that links to them expect. Links to files of the
/// repository, which this server does not have, become text.
fn html(markdown: &str) -> String {
    let mut events: Vec<Event> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let mut heading = None;
    for index in 0..events.len() {
        match &events[index] {
            Event::Start(Tag::Heading { .. }) => heading = Some((index, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, name)) = &mut heading {
                    name.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((start, name)) = heading.take()
                    && let Event::Start(Tag::Heading { id, .. }) = &mut events[start]
                {
                    *id = Some(CowStr::from(anchor(&name)));
                }
            }
            _ => {}
        }
    }
    let mut in_lost_link = false;
    events.retain(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            in_lost_link = !dest_url.starts_with('#') && !dest_url.contains("://");
            !in_lost_link
        }
        Event::End(TagEnd::Link) => !in_lost_link,
        _ => true,
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    // What may be wider than the screen can be scrolled with the keyboard.
    html.replace("<pre>", "<pre tabindex=\"0\">")
}

/// The id of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter
            .is_alphanumeric()
            .then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use poem::{Endpoint as _, Request};

    use super::*;
    use crate::config;

    async fn get(path: &str) -> String {
        let loaded = config::load(&config::Sources::default()).unwrap();
        let (site, _) = add(Site::default(), &loaded.config).into_parts([]);
        let request = Request::builder().uri_str(path).finish();
        let response = site.call(request).await.unwrap();
        response.into_body().into_string().await.unwrap()
    }

    #[tokio::test]
    async fn every_code_has_a_page_that_the_list_leads_to() {
        let list = get("/problems").await;
        for code in Code::ALL {
            let path = format!("/problems/{}", code.name());
            assert!(list.contains(&format!("href=\"{path}\"")));
            let page = get(&path).await;
            assert!(page.contains(code.title()) && page.contains(&*FOLDER));
            assert!(!page.contains('`') && !page.contains("{{"), "{page}");
        }
    }

    #[tokio::test]
    async fn documents_link_within_themselves_and_to_other_hosts_only() {
        for (path, ..) in DOCUMENTS {
            let page = get(path).await;
            let (_, content) = page.split_once("<main>").unwrap();
            let targets = content.split("href=\"").skip(1);
            let targets: Vec<&str> = targets.filter_map(|rest| rest.split('"').next()).collect();
            assert!(!targets.is_empty(), "{path}");
            for target in targets {
                match target.strip_prefix('#') {
                    Some(id) => assert!(content.contains(&format!("id=\"{id}\"")), "{target}"),
                    None => assert!(target.contains("://"), "{target}"),
                }
            }
        }
    }

    #[test]
    fn a_link_into_the_repository_keeps_its_text() {
        assert_eq!(
            html("# `a` Link, here\n[file](src/lib.rs) and [page](https://example.org)"),
            "<h1 id=\"a-link-here\"><code>a</code> Link, here</h1>\n\
             <p>file and <a href=\"https://example.org\">page</a></p>\n"
        );
    }
}
