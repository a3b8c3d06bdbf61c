//! The page's HTML: the same for all addresses, apart from its head and from what browsers without
//! JavaScript show.

use std::fmt::Write;

use super::assets::{EMBED, FOLDER, INDEX, with_imports};
use crate::config::Config;
use crate::markup::escaped;
use crate::results::words::{Words, percent};
use crate::results::{BallotResults, Poll, View, are_visible};
use crate::tally::BallotKind;

/// How much of the choices a preview shows, in characters.
const PREVIEW: usize = 200;

/// How much of the choices a page without JavaScript lists, in bytes.
const LISTED: usize = 16 * 1024;

/// What a page is about.
pub enum About<'a> {
    /// Polls in general. The page is shown by this module, or by the router itself.
    Polls(Option<&'static str>),
    Question(&'a View),
}

impl About<'_> {
    /// The modules that the page begins with.
    fn modules(&self) -> Vec<&'static str> {
        let mut modules = vec![ROUTER];
        match self {
            About::Polls(module) => modules.extend(*module),
            About::Question(view) => {
                modules.push("question.js");
                // The controls that `ballot.js` has for each kind of ballot.
                match view.poll.question.method.ballot_kind() {
                    BallotKind::Set => {}
                    BallotKind::Ranking => modules.push("ranking.js"),
                    BallotKind::Scores => modules.push("scoring.js"),
                }
            }
        }
        modules
    }
}

/// The module that decides by the address which others show the page.
const ROUTER: &str = "main.js";

/// The page without the parts that depend on its address.
pub struct Shell {
    /// Before the title and what chats and search engines read.
    before: String,
    /// Between those and the links to the modules.
    styles: String,
    /// Between those links and the content for browsers without JavaScript.
    start: String,
    after: String,
    /// The address by which others reach the server, where it is known.
    public_url: Option<String>,
}

impl Shell {
    pub fn new(config: &Config) -> Shell {
        let mut offers = config.features();
        if config.http.docs {
            offers.push("docs");
        }
        let html = INDEX
            .replace("{{assets}}", &FOLDER)
            .replace("{{offers}}", &offers.join(" "));
        let (before, rest) = html.split_once("{{about}}").unwrap_or((&html, ""));
        let (styles, rest) = rest.split_once("{{modules}}").unwrap_or((rest, ""));
        let (start, after) = rest.split_once("{{content}}").unwrap_or((rest, ""));
        Shell {
            before: before.to_owned(),
            styles: styles.to_owned(),
            start: start.to_owned(),
            after: after.to_owned(),
            public_url: config.server.public_url.as_ref().map(ToString::to_string),
        }
    }

    pub fn page(&self, about: About<'_>) -> String {
        let modules = preloads(&about.modules());
        let (head, content) = match about {
            About::Polls(_) => (
                "<title>polls</title>\n\
                 <meta name=\"description\" content=\"Ask anything. See what people think.\">"
                    .to_owned(),
                String::new(),
            ),
            About::Question(view) => {
                let summary = Summary::of(view);
                (
                    self.head(&view.poll, &summary),
                    content(&view.poll, &summary),
                )
            }
        };
        let parts = [&self.before, &head, &self.styles, &modules, &self.start];
        let parts = parts.into_iter().chain([&content, &self.after]);
        parts.map(String::as_str).collect()
    }

    /// What chats and search engines show of a question (Open Graph).
    fn head(&self, poll: &Poll, summary: &Summary) -> String {
        let title = escaped(&poll.question.question_text);
        let choices = poll.choices.iter().map(|choice| &*choice.choice_text);
        let choices: String = choices.collect::<Vec<_>>().join(" · ");
        let choices = choices.chars().take(PREVIEW).collect();
        let description = [&summary.facts[..], &[choices]].concat().join(" · ");
        let description = escaped(&description);
        let mut head = format!(
            "<title>{title} · polls</title>\n\
             <meta name=\"description\" content=\"{description}\">\n\
             <meta name=\"twitter:card\" content=\"summary\">\n\
             <meta property=\"og:type\" content=\"website\">\n\
             <meta property=\"og:site_name\" content=\"polls\">\n\
             <meta property=\"og:title\" content=\"{title}\">\n\
             <meta property=\"og:description\" content=\"{description}\">"
        );
        if !poll.question.listed {
            head.push_str("\n<meta name=\"robots\" content=\"noindex\">");
        }
        if let Some(origin) = &self.public_url {
            let url = format!("{}/questions/{}", escaped(origin), poll.question.id);
            // Writing to a string cannot fail.
            let _ = write!(
                head,
                "\n<meta property=\"og:url\" content=\"{url}\">\n<link rel=\"canonical\" href=\"{url}\">"
            );
        }
        head
    }
}

/// What everybody may know of a question at a moment.
struct Summary {
    words: Words,
    /// Its state; the ballots and the leader only if everybody may see them.
    facts: Vec<String>,
    /// None if not everybody may see them.
    results: Option<BallotResults>,
}

impl Summary {
    fn of(view: &View) -> Summary {
        let (question, now) = (&view.poll.question, view.read_at);
        let words = Words::of(&question.question_text);
        let is_public = are_visible(question, None, false, now);
        let results = is_public.then(|| BallotResults::of(&view.poll, now));
        let mut facts = vec![words.state(question, now)];
        if let Some(results) = &results {
            facts.push(words.ballots(results.ballot_count));
            facts.extend(words.leader(results));
        }
        Summary {
            words,
            facts,
            results,
        }
    }
}

/// A question as it is read without JavaScript.
fn content(poll: &Poll, summary: &Summary) -> String {
    let question = &poll.question;
    let words = summary.words;
    let mut html = format!(
        "<article lang=\"{}\">\n<h1 dir=\"auto\">{}</h1>\n<p>{}</p>\n",
        words.tag(),
        escaped(&question.question_text),
        escaped(&summary.facts.join(" · "))
    );
    // Writing to a string cannot fail.
    if let Some(description) = &question.description {
        let description = escaped(description);
        let _ = writeln!(
            html,
            "<p class=\"description\" dir=\"auto\">{description}</p>"
        );
    }
    html.push_str("<ul>\n");
    let end = html.len() + LISTED;
    let mut listed = 0;
    for choice in &poll.choices {
        if html.len() > end {
            break;
        }
        let result = summary
            .results
            .as_ref()
            .map(|results| &results.choices[listed]);
        let numbers =
            result.map(|result| format!(": {} ({})", result.votes, percent(result.share)));
        let (text, numbers) = (escaped(&choice.choice_text), numbers.unwrap_or_default());
        let _ = writeln!(html, "<li><bdi>{text}</bdi>{numbers}</li>");
        listed += 1;
    }
    html.push_str("</ul>\n");
    let left_out = poll.choices.len() - listed;
    if left_out > 0 {
        let _ = writeln!(html, "<p>{}</p>", words.more_choices(left_out));
    }
    if summary.results.is_none() {
        let _ = writeln!(html, "<p>{}</p>", words.hidden(question.results_visibility));
    }
    html.push_str("</article>\n");
    html
}

/// The page for frames.
pub fn frame() -> String {
    EMBED
        .replace("{{modules}}", &preloads(&["embed.js"]))
        .replace("{{assets}}", &FOLDER)
}

/// Links to modules and all that they need, so that they are loaded side by side. The first is the
/// page's script.
fn preloads(modules: &[&'static str]) -> String {
    let links = with_imports(modules).into_iter().skip(1);
    let links = links.map(|name| {
        let folder = &*FOLDER;
        format!("<link rel=\"modulepreload\" href=\"{folder}/{name}\">")
    });
    links.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Sources};

    fn shell() -> Shell {
        Shell::new(&config::load(&Sources::default()).unwrap().config)
    }

    #[test]
    fn everything_is_filled_in() {
        let shell = shell();
        for html in [
            shell.page(About::Polls(None)),
            shell.page(About::Polls(Some("editor.js"))),
            frame(),
        ] {
            assert!(!html.contains("{{"), "{html}");
            assert!(html.matches("modulepreload").count() > 5);
        }
    }

    #[test]
    fn a_page_names_its_modules_once_and_no_others() {
        let shell = shell();
        let names = |page: &str, module: &str| page.matches(&format!("/{module}\"")).count();
        let page = shell.page(About::Polls(Some("editor.js")));
        for module in ["main.js", "editor.js", "rules.js", "api.js"] {
            assert_eq!(names(&page, module), 1, "{module}");
        }
        assert_eq!(names(&page, "question.js"), 0);
        let unknown = shell.page(About::Polls(None));
        assert_eq!(
            (names(&unknown, "main.js"), names(&unknown, "editor.js")),
            (1, 0)
        );
    }
}
