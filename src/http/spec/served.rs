//! The document as one server serves it: with the address and the contact that its operator has
//! configured. Nothing of it comes from requests.

use serde_json::{Value, json};

use crate::config;

/// The paths in the document that stand for addresses of this server.
const ADDRESSES: [&str; 3] = [
    "/servers/0/url",
    "/components/securitySchemes/token/flows/password/tokenUrl",
    "/components/securitySchemes/token/flows/password/refreshUrl",
];

/// The document with absolute addresses, where `server.public_url` is set, and with `server.contact`.
pub fn served(mut document: Value, server: &config::Server) -> Value {
    match &server.contact {
        Some(config::Contact::Email(email)) => document["info"]["contact"]["email"] = json!(email),
        Some(config::Contact::Page(page)) => {
            document["info"]["contact"]["url"] = json!(page.as_str());
        }
        None => {}
    }
    if let Some(origin) = &server.public_url {
        for address in ADDRESSES {
            if let Some(Value::String(path)) = document.pointer_mut(address) {
                path.insert_str(0, origin.as_str());
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document_with(variable: &str, value: &str) -> Value {
        let environment = [(variable.to_owned(), value.into())].into();
        let sources = config::Sources {
            environment,
            ..config::Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        served(crate::app::document(), &config.server)
    }

    #[test]
    fn addresses_are_absolute_only_where_the_operator_says_which() {
        let addresses = |document: Value| {
            ADDRESSES.map(|address| {
                document
                    .pointer(address)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
        };
        let paths = ["/api/v1", "/api/v1/auth/token", "/api/v1/auth/token"];
        assert_eq!(addresses(document_with("POLLS__SERVER__PORT", "80")), paths);
        let origin = "https://polls.example.org";
        assert_eq!(
            addresses(document_with("POLLS__SERVER__PUBLIC_URL", origin)),
            paths.map(|path| format!("{origin}{path}"))
        );
    }

    #[test]
    fn the_contact_is_the_operators() {
        let contact =
            |address| document_with("POLLS__SERVER__CONTACT", address)["info"]["contact"].take();
        assert_eq!(contact("ops@example.org")["email"], "ops@example.org");
        let page = "https://example.org/help";
        assert_eq!(contact(page)["url"], page);
    }
}
