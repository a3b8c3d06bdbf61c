//! What is served beside the API. Each path is added to the router and to the table of routes at
//! once.

use http::Method;
use poem::{IntoEndpoint, Route};

use super::rates::Kind;
use super::routes::{Operation, Routes};

/// A router together with the table of what it has.
#[derive(Default)]
pub struct Site {
    router: Route,
    operations: Vec<Operation>,
}

impl Site {
    /// Adds `GET path`, which counts as a read. Paths are written as in [`Operation::path`].
    pub fn get(self, path: &str, endpoint: impl IntoEndpoint<Endpoint: 'static>) -> Site {
        self.add(path, Some(Kind::Reads), endpoint)
    }

    /// Adds `GET path`, which no rate limit counts.
    pub fn get_without_limit(
        self,
        path: &str,
        endpoint: impl IntoEndpoint<Endpoint: 'static>,
    ) -> Site {
        self.add(path, None, endpoint)
    }

    /// Adds an endpoint for every path that has no other. The table lists `paths` of them.
    pub fn fallback(
        mut self,
        paths: impl IntoIterator<Item = &'static str>,
        endpoint: impl IntoEndpoint<Endpoint: 'static>,
    ) -> Site {
        let listed = paths
            .into_iter()
            .map(|path| operation(path, Some(Kind::Reads)));
        self.operations.extend(listed);
        Site {
            router: self.router.at("/*path", endpoint),
            ..self
        }
    }

    fn add(
        mut self,
        path: &str,
        rate: Option<Kind>,
        endpoint: impl IntoEndpoint<Endpoint: 'static>,
    ) -> Site {
        self.operations.push(operation(path, rate));
        // poem writes `:name` where the table has `{name}`.
        let path = path.replace('{', ":").replace('}', "");
        Site {
            router: self.router.at(path, endpoint),
            ..self
        }
    }

    /// The router, and the table of its routes and of the API's `operations`.
    pub fn into_parts(self, operations: impl IntoIterator<Item = Operation>) -> (Route, Routes) {
        let routes = Routes::new(operations.into_iter().chain(self.operations));
        (self.router, routes)
    }
}

fn operation(path: &str, rate: Option<Kind>) -> Operation {
    Operation {
        rate,
        ..Operation::new(Method::GET, path)
    }
}
