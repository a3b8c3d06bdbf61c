//! The table of what exists: which methods and query parameters each path has.
//!
//! Made once, from the specification and the few routes outside it. It answers what poem's own
//! router cannot: `Allow`, unknown query parameters, what a parameter may be, and the template for
//! metrics.

use std::fmt::Write;

use http::{HeaderValue, Method};
use poem::Request;

use super::API;
use super::rates::Kind;
use crate::failure::{Code, Failure};

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Operation {
    pub method: Method,
    /// Such as `/api/v1/questions/{id}`; `{*rest}` as the last segment takes all that follows.
    pub path: String,
    /// What it takes beside the body. That a request has no other query parameters is enforced
    /// within the API only.
    pub parameters: Vec<Parameter>,
    /// Whether the handler does that, since its 400 has a form of its own.
    pub checks_query: bool,
    /// The media types of successful answers; with none, any `Accept` will do.
    pub produces: Vec<String>,
    /// Whether it takes a request body. One that is sent in vain is not read.
    pub takes_body: bool,
    /// The largest request body in bytes, where it is larger than the configured one.
    pub max_body: Option<u64>,
    /// The rate that it counts for.
    pub rate: Option<Kind>,
    /// Whether the handler counts it, once it knows for whom; else it counts for the network.
    pub counts_itself: bool,
    /// Whether a change that it has begun comes to its end though nobody waits for it. Other
    /// changes run in a task of their own.
    pub survives_disconnect: bool,
}

/// One parameter, as the specification has it.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    pub place: Place,
    /// What is allowed, as the end of a sentence that begins with the parameter: "must be …".
    pub allowed: String,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
}

impl Operation {
    pub fn new(method: Method, path: impl Into<String>) -> Operation {
        Operation {
            method,
            path: path.into(),
            parameters: Vec::new(),
            checks_query: false,
            produces: Vec::new(),
            takes_body: false,
            max_body: None,
            rate: None,
            counts_itself: false,
            survives_disconnect: false,
        }
    }

    /// Refuses parameters that the operation does not know, or that come twice.
    pub(super) fn check_query(&self, query: &str) -> Result<(), Failure> {
        let mut seen = vec![false; self.parameters.len()];
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            let is_it = |known: &Parameter| known.place == Place::Query && known.name == name;
            let complaint = match self.parameters.iter().position(is_it) {
                None => "is not known here",
                Some(index) if std::mem::replace(&mut seen[index], true) => "is given twice",
                Some(_) => continue,
            };
            return Err(self.bad_query(&name, complaint));
        }
        Ok(())
    }

    fn bad_query(&self, name: &str, complaint: &str) -> Failure {
        let name: String = name.chars().take(64).collect();
        let mut detail = format!("The query parameter `{name}` {complaint}.");
        let of_query = self.parameters.iter().filter(|it| it.place == Place::Query);
        let known: Vec<&str> = of_query.map(|it| it.name.as_str()).collect();
        if known.is_empty() {
            detail.push_str(" This call takes none.");
        } else {
            // Writing to a string cannot fail.
            let _ = write!(detail, " This call takes `{}`.", known.join("`, `"));
        }
        Failure::new(Code::MalformedRequest, detail)
    }

    /// What is wrong with a parameter whose value the framework has refused, in words of the
    /// specification. The framework calls the parameters of a path `param0`, `param1` and so on.
    pub(super) fn bad_parameter(&self, refused: &str) -> Option<Failure> {
        let number = refused.strip_prefix("param").and_then(|it| it.parse().ok());
        let mut of_path = self.of_path();
        let of_path = number.and_then(|number: usize| of_path.nth(number));
        let named = || self.parameters.iter().find(|it| it.name == refused);
        let Parameter {
            name,
            place,
            allowed,
        } = of_path.or_else(named)?;
        let place = match place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        Some(Failure::new(
            Code::MalformedRequest,
            format!("The {place} parameter `{name}` {allowed}."),
        ))
    }

    /// The parameters of the path, from left to right.
    fn of_path(&self) -> impl Iterator<Item = &Parameter> {
        segments(&self.path).filter_map(|segment| {
            let name = segment.strip_prefix('{')?.strip_suffix('}')?;
            let mut of_path = self.parameters.iter().filter(|it| it.place == Place::Path);
            of_path.find(|parameter| parameter.name == name)
        })
    }
}

/// One path with everything that can be done there.
#[derive(Debug)]
pub struct Route {
    pub template: String,
    /// The methods, HEAD and OPTIONS included, as the `Allow` header has them.
    pub allow: HeaderValue,
    pub(super) in_api: bool,
    pub(super) index: usize,
    operations: Vec<Operation>,
}

impl Route {
    /// What `method` does here; HEAD does what GET does.
    pub fn operation(&self, method: &Method) -> Option<&Operation> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.operations
            .iter()
            .find(|operation| operation.method == method)
    }
}

/// All paths.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    fixed: Vec<(String, Node)>,
    any: Option<Box<Node>>,
    rest: Option<usize>,
    here: Option<usize>,
}

impl Routes {
    pub fn new(operations: impl IntoIterator<Item = Operation>) -> Routes {
        let mut routes: Vec<Route> = Vec::new();
        for operation in operations {
            match routes
                .iter_mut()
                .find(|route| route.template == operation.path)
            {
                Some(route) => route.operations.push(operation),
                None => routes.push(Route {
                    template: operation.path.clone(),
                    allow: HeaderValue::from_static("OPTIONS"),
                    in_api: is_in_api(&operation.path),
                    index: routes.len(),
                    operations: vec![operation],
                }),
            }
        }
        let mut root = Node::default();
        for route in &mut routes {
            route.allow = allow(&route.operations);
            root.insert(segments(&route.template), route.index);
        }
        Routes { routes, root }
    }

    /// The route for a path; a fixed segment goes before a parameter.
    pub fn find(&self, path: &str) -> Option<&Route> {
        let index = self.root.find(segments(path))?;
        self.routes.get(index)
    }
}

/// Whether a path is the API's, be there something or not.
pub(super) fn is_in_api(path: &str) -> bool {
    let rest = path.strip_prefix(API);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

type Segments<'a> = std::str::Split<'a, char>;

fn segments(path: &str) -> Segments<'_> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

impl Node {
    fn insert(&mut self, mut segments: Segments<'_>, route: usize) {
        let Some(segment) = segments.next() else {
            self.here = Some(route);
            return;
        };
        if segment.starts_with("{*") {
            self.rest = Some(route);
        } else if segment.starts_with('{') {
            self.any.get_or_insert_default().insert(segments, route);
        } else if let Some((_, node)) = self.fixed.iter_mut().find(|(name, _)| name == segment) {
            node.insert(segments, route);
        } else {
            let mut node = Node::default();
            node.insert(segments, route);
            self.fixed.push((segment.to_owned(), node));
        }
    }

    fn find(&self, mut segments: Segments<'_>) -> Option<usize> {
        let Some(segment) = segments.next() else {
            return self.here;
        };
        let fixed = self.fixed.iter().find(|(name, _)| name == segment);
        fixed
            .and_then(|(_, node)| node.find(segments.clone()))
            .or_else(|| match &self.any {
                Some(node) if !segment.is_empty() => node.find(segments),
                _ => None,
            })
            .or(self.rest)
    }
}

fn allow(operations: &[Operation]) -> HeaderValue {
    let mut methods = Vec::new();
    for operation in operations {
        methods.push(operation.method.as_str());
        if operation.method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

/// Within the API, `/x/` is the same as `/x`. A redirect would lose the body of a POST in many
/// clients.
pub(super) fn normalise(request: &mut Request) {
    let uri = request.uri();
    if !is_in_api(uri.path()) {
        return;
    }
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else {
        return;
    };
    let trimmed = match uri.query() {
        Some(query) => format!("{path}?{query}").try_into(),
        None => path.try_into(),
    };
    let mut parts = uri.clone().into_parts();
    if let Ok(trimmed) = trimmed {
        parts.path_and_query = Some(trimmed);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, place: Place) -> Parameter {
        Parameter {
            name: name.to_owned(),
            place,
            allowed: format!("must be a good {name}"),
        }
    }

    fn routes() -> Routes {
        let list = Operation {
            parameters: vec![
                parameter("If-Match", Place::Header),
                parameter("limit", Place::Query),
                parameter("q", Place::Query),
            ],
            ..Operation::new(Method::GET, "/api/v1/questions")
        };
        Routes::new([
            Operation::new(Method::GET, "/"),
            list,
            Operation::new(Method::POST, "/api/v1/questions"),
            Operation::new(Method::GET, "/api/v1/users/me"),
            Operation::new(Method::GET, "/api/v1/users/{id}"),
            Operation::new(Method::PUT, "/api/v1/users/{id}/password"),
            Operation::new(Method::GET, "/assets/{*rest}"),
        ])
    }

    #[test]
    fn paths_find_their_templates() {
        let routes = routes();
        let template = |path| routes.find(path).map(|route| route.template.as_str());
        assert_eq!(template("/"), Some("/"));
        assert_eq!(template("/api/v1/users/me"), Some("/api/v1/users/me"));
        assert_eq!(template("/api/v1/users/7"), Some("/api/v1/users/{id}"));
        assert_eq!(
            template("/api/v1/users/me/password"),
            Some("/api/v1/users/{id}/password")
        );
        assert_eq!(template("/assets/a/b.js"), Some("/assets/{*rest}"));
        for nothing in [
            "/api",
            "/api/v1/users/",
            "/api/v1/users//password",
            "/x",
            "*",
        ] {
            assert_eq!(template(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn head_and_options_come_by_themselves() {
        let routes = routes();
        let route = routes.find("/api/v1/questions").unwrap();
        assert_eq!(route.allow, "GET, HEAD, POST, OPTIONS");
        assert!(route.operation(&Method::HEAD).is_some());
        assert!(route.operation(&Method::DELETE).is_none());
        assert_eq!(
            routes.find("/api/v1/users/7/password").unwrap().allow,
            "PUT, OPTIONS"
        );
    }

    #[test]
    fn unknown_and_repeated_query_parameters_are_named() {
        let routes = routes();
        let route = routes.find("/api/v1/questions").unwrap();
        let list = route.operation(&Method::GET).unwrap();
        let detail = |query| list.check_query(query).unwrap_err().detail;
        assert!(list.check_query("").is_ok());
        assert!(list.check_query("limit=1&q=a%26b").is_ok());
        assert!(list.check_query("%6Cimit=1").is_ok());
        assert_eq!(
            detail("limit=1&lmit=2"),
            "The query parameter `lmit` is not known here. This call takes `limit`, `q`."
        );
        assert!(detail("q=a&q=b").contains("`q` is given twice"));
        let create = route.operation(&Method::POST).unwrap();
        let failure = create.check_query("token=secret").unwrap_err();
        assert!(!failure.detail.contains("secret"));
        assert!(failure.detail.ends_with("takes none."));
    }

    #[test]
    fn a_bad_value_is_told_what_is_allowed() {
        let operation = Operation {
            parameters: vec![
                parameter("choice_id", Place::Path),
                parameter("limit", Place::Query),
                parameter("question_id", Place::Path),
            ],
            ..Operation::new(Method::GET, "/api/v1/q/{question_id}/x/{choice_id}")
        };
        let detail = |name| operation.bad_parameter(name).map(|failure| failure.detail);
        assert_eq!(
            detail("limit").unwrap(),
            "The query parameter `limit` must be a good limit."
        );
        let question = "The path parameter `question_id` must be a good question_id.";
        assert_eq!(detail("param0").unwrap(), question);
        assert!(detail("param1").unwrap().contains("`choice_id`"));
        assert_eq!(detail("param2"), None);
        assert_eq!(detail("nothing"), None);
    }
}
