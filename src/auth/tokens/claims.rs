//! The claims of access tokens, and how they are checked.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::Keys;
use crate::clock::Time;
use crate::failure::{Code, Failure};
use crate::users::Standing;

/// How many seconds before `nbf` a token is honoured, as RFC 7519, section 4.1.5, allows.
const LEEWAY: i64 = 60;

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// The session.
    pub sid: Uuid,
    /// When it was signed, by the clock of the process that signed it. Not checked, since the clocks
    /// of processes may differ.
    pub iat: i64,
    /// Never written, but respected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    pub exp: i64,
    #[serde(rename = "role")]
    pub standing: Standing,
    /// The session's generation; a later one revokes the token.
    #[serde(rename = "gen")]
    pub generation: i32,
}

/// The issuer of the tokens and the audience they are for.
#[derive(Debug, Clone)]
pub struct Parties {
    pub issuer: String,
    pub audience: String,
}

/// Checks everything about a token but whether it was revoked. Gives its claims and the id of the
/// key that signed it.
pub async fn check(
    token: &str,
    keys: &Keys,
    parties: &Parties,
    now: Time,
) -> Result<(Claims, Uuid), Failure> {
    let invalid = || Failure::new(Code::Unauthenticated, "The access token is not valid.");
    let key = keys.find(token).await?.ok_or_else(invalid)?;
    let claims: Claims = key.verified_claims(token).ok_or_else(invalid)?;
    let ours = claims.iss == parties.issuer && claims.aud == parties.audience;
    let latest = now.seconds().saturating_add(LEEWAY);
    if !ours || claims.nbf.is_some_and(|not_before| not_before > latest) {
        return Err(invalid());
    }
    if claims.exp <= now.seconds() {
        return Err(Failure::new(
            Code::Unauthenticated,
            "The access token has expired.",
        ));
    }
    Ok((claims, key.id))
}
