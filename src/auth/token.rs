//! Access tokens: what they say, and when that is believed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::Key;
use super::keys::Keys;
use crate::clock::Time;
use crate::failure::{Code, Failure};
use crate::users::Role;

/// By how many seconds the clock of another process may run ahead.
const SKEW: i64 = 60;

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// The session.
    pub sid: Uuid,
    pub iat: i64,
    pub exp: i64,
    pub role: Role,
    /// The session's generation; a later one revokes the token.
    #[serde(rename = "gen")]
    pub generation: i32,
}

/// Who signs tokens, and for whom.
#[derive(Debug, Clone)]
pub struct Parties {
    pub issuer: String,
    pub audience: String,
}

/// Signs an access token.
pub fn sign(key: &Key, claims: &Claims) -> Result<String, Failure> {
    key.sign(claims).map_err(Failure::internal)
}

/// Checks everything about a token but whether it was revoked.
pub async fn check(
    token: &str,
    keys: &Keys,
    parties: &Parties,
    now: Time,
) -> Result<Claims, Failure> {
    let invalid = || Failure::new(Code::Unauthenticated, "The access token is not valid.");
    let key = keys.find(token).await?;
    let claims: Claims = key.and_then(|key| key.open(token)).ok_or_else(invalid)?;
    let ours = claims.iss == parties.issuer && claims.aud == parties.audience;
    if !ours || claims.iat > now.seconds().saturating_add(SKEW) {
        return Err(invalid());
    }
    if claims.exp <= now.seconds() {
        return Err(Failure::new(
            Code::Unauthenticated,
            "The access token has expired.",
        ));
    }
    Ok(claims)
}
