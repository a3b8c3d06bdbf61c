//! A signing key: made, read, and used.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::verify;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use rand::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::signing_key::{KeyMaterial, Model};
use crate::config::{Algorithm, Secret, hmac_key};

/// RFC 9068: keeps access tokens apart from JWTs for other uses.
const TYPE: &str = "at+jwt";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    #[error("the algorithm {0} is not known to this version")]
    Algorithm(String),
    #[error("auth.key is not base64 of at least 32 bytes")]
    Secret,
    #[error("auth.key is not a private key in PKCS#8 PEM")]
    Pem(#[from] pem::PemError),
    #[error("the key does not fit its algorithm")]
    Unfit(#[from] jsonwebtoken::errors::Error),
    #[error("the random generator failed")]
    Random,
}

impl From<aws_lc_rs::error::Unspecified> for BadKey {
    fn from(_: aws_lc_rs::error::Unspecified) -> BadKey {
        BadKey::Random
    }
}

/// Makes a new key.
pub fn generate(algorithm: Algorithm) -> Result<KeyMaterial, BadKey> {
    let document = match algorithm {
        Algorithm::HS256 => {
            let mut secret = [0; 32];
            rand::rng().fill_bytes(&mut secret);
            return Ok(KeyMaterial(STANDARD.encode(secret)));
        }
        Algorithm::ES256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?
        }
        Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())?,
    };
    Ok(KeyMaterial(written(document.as_ref())))
}

/// A configured key in the form in which keys are kept, so that two can be compared.
pub fn configured(algorithm: Algorithm, key: &Secret) -> Result<KeyMaterial, BadKey> {
    let kept = match algorithm {
        Algorithm::HS256 => {
            let bytes = hmac_key(key).filter(|bytes| bytes.len() >= 32);
            STANDARD.encode(bytes.ok_or(BadKey::Secret)?)
        }
        Algorithm::ES256 | Algorithm::EdDSA => written(pem::parse(key.expose())?.contents()),
    };
    Ok(KeyMaterial(kept))
}

fn written(pkcs8: &[u8]) -> String {
    pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8))
}

/// The name by which tokens and the database know an algorithm.
pub fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
    }
}

/// A key that signs and checks access tokens.
pub struct SigningKey {
    /// Its `kid`.
    pub id: Uuid,
    header: Header,
    /// How the tokens that it signs begin: their header, encoded, and a dot.
    head: String,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    /// The public half, where there is one.
    pub public: Option<Jwk>,
}

impl SigningKey {
    /// Reads a key as the database has it.
    pub fn read(row: &Model) -> Result<SigningKey, BadKey> {
        use jsonwebtoken::Algorithm as Jwa;
        let secret = row.secret.0.as_str();
        let (algorithm, signing) = match row.algorithm.as_str() {
            "HS256" => (Jwa::HS256, EncodingKey::from_base64_secret(secret)?),
            "ES256" => (Jwa::ES256, EncodingKey::from_ec_pem(secret.as_bytes())?),
            "EdDSA" => (Jwa::EdDSA, EncodingKey::from_ed_pem(secret.as_bytes())?),
            other => return Err(BadKey::Algorithm(other.to_owned())),
        };
        let mut jwk = Jwk::from_encoding_key(&signing, algorithm)?;
        let checking = DecodingKey::from_jwk(&jwk)?;
        let kid = row.id.to_string();
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = (algorithm != Jwa::HS256).then_some(jwk);

        // The library's clock is the system's, and its claims are optional: `claims::check` checks them.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;

        let mut header = Header::new(algorithm);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(kid);
        let sample = jsonwebtoken::encode(&header, &(), &signing)?;
        let head = sample.split_inclusive('.').take(1).collect();
        Ok(SigningKey {
            id: row.id,
            header,
            head,
            signing,
            checking,
            validation,
            public,
        })
    }

    /// Signs claims.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&self.header, claims, &self.signing)
    }

    /// Whether a token begins like those that this key signs.
    pub fn signed_header_matches(&self, token: &str) -> bool {
        token.starts_with(&self.head)
    }

    /// The claims of a token that this key has signed as an access token. The algorithm is the
    /// key's, whatever the token says.
    pub fn verified_claims<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        if self.signed_header_matches(token) {
            // The header is our own. The library would decode it twice.
            let (message, signature) = token.rsplit_once('.')?;
            let algorithm = self.header.alg;
            if !verify(signature, message.as_bytes(), &self.checking, algorithm).ok()? {
                return None;
            }
            return insecure_decode_claims(token).ok();
        }
        let token = jsonwebtoken::decode(token, &self.checking, &self.validation).ok()?;
        // RFC 7515, section 4.1.11: extensions that `crit` names must be understood; none is.
        let heeded = token.header.crit.is_none() && is_access_token(&token.header);
        heeded.then_some(token.claims)
    }
}

/// RFC 9068 allows the long form of the media type; media types are case-insensitive.
fn is_access_token(header: &Header) -> bool {
    let kind = header
        .typ
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    kind.strip_prefix("application/").unwrap_or(&kind) == TYPE
}

/// The id of the key that a token claims to be signed with.
pub fn key_id(token: &str) -> Option<Uuid> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    Uuid::parse_str(&header.kid?).ok()
}
