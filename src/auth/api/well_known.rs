//! What stands under `/.well-known`: the server's metadata (RFC 8414) and its public keys.

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use poem::web::{Data, Json};
use poem::{EndpointExt as _, get, handler};
use serde_json::json;

use crate::auth::Tokens;
use crate::config::Config;
use crate::http::{API, Site};

/// Adds the server's metadata and its public keys. Both need the [`Tokens`] in the request's data.
pub fn add_well_known(site: Site, config: &Config) -> Site {
    let about = get(metadata).data(Features(config.features()));
    site.get("/.well-known/oauth-authorization-server", about)
        .get("/.well-known/jwks.json", get(public_keys))
}

/// What the operator has switched on.
#[derive(Clone)]
struct Features(Vec<&'static str>);

/// RFC 8414, except that the addresses are paths where `server.public_url` is not set: the address
/// that a request names could be anybody's, and clients would send passwords there.
#[handler]
fn metadata(tokens: Data<&Arc<Tokens>>, features: Data<&Features>) -> Json<serde_json::Value> {
    let base = tokens.public_url().unwrap_or_default();
    let base = base.trim_end_matches('/');
    Json(json!({
        "issuer": tokens.issuer(),
        "token_endpoint": format!("{base}{API}/auth/token"),
        "revocation_endpoint": format!("{base}{API}/auth/revoke"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "service_documentation": format!("{base}/docs"),
        "grant_types_supported": ["password", "refresh_token", "urn:polls:grant:invitation"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "features": features.0.0,
    }))
}

/// RFC 7517.
#[handler]
fn public_keys(tokens: Data<&Arc<Tokens>>) -> Json<JwkSet> {
    Json(tokens.public_keys())
}
