use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

/// A token taken apart, to be forged.
struct Parts {
    header: Value,
    claims: Value,
}

fn parts(token: &str) -> Parts {
    let mut parts = token.split('.').map(|part| {
        let part = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&part).unwrap_or_default()
    });
    Parts {
        header: parts.next().unwrap(),
        claims: parts.next().unwrap(),
    }
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

async fn invalid(process: &Process, token: &str) {
    let refused = process.tokens.authenticate(token).await.expect_err(token);
    assert_eq!(refused.detail, "The access token is not valid.", "{token}");
}

/// A cluster whose key the test knows, and a good token.
async fn known_key() -> (Cluster, Process, EncodingKey, String) {
    const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    let (cluster, process) = Cluster::with(&[("auth.key", KEY)]).await;
    user(&process, "luxi").await;
    let token = sign_in(&process, "luxi").await.access_token;
    (
        cluster,
        process,
        EncodingKey::from_base64_secret(KEY).unwrap(),
        token,
    )
}

#[tokio::test]
async fn a_token_says_who_and_for_how_long() {
    let (cluster, process) = Cluster::new().await;
    let user = user(&process, "luxi").await;
    let granted = sign_in(&process, "luxi").await;
    assert_eq!(granted.expires_in, 900);
    let parts = parts(&granted.access_token);
    assert_eq!(parts.header["typ"], "at+jwt");
    assert_eq!(parts.header["alg"], "HS256");
    assert_eq!(parts.claims["iss"], "polls");
    assert_eq!(parts.claims["sub"], json!(user.id));
    assert_eq!(caller(&process, &granted).await.caller.id, user.id);

    cluster.clock.advance(15 * MINUTE - 2 * SECOND);
    assert_eq!(refusal(&process, &granted).await, None);
    cluster.clock.advance(2 * SECOND);
    let expired = refusal(&process, &granted).await;
    assert_eq!(expired.as_deref(), Some("The access token has expired."));
}

#[tokio::test]
async fn every_claim_is_checked() {
    let (_cluster, process, key, token) = known_key().await;
    let good = parts(&token);
    let header: Header = serde_json::from_value(good.header.clone()).unwrap();
    let signed = |claims: &Value| jsonwebtoken::encode(&header, claims, &key).unwrap();
    process
        .tokens
        .authenticate(&signed(&good.claims))
        .await
        .unwrap();

    let now = good.claims["iat"].as_i64().unwrap();
    let wrong = [
        ("iss", json!("others")),
        ("aud", json!("others")),
        ("sub", json!("luxi")),
        ("sid", json!(7)),
        ("iat", json!("now")),
        ("exp", json!("never")),
        ("role", json!("root")),
        ("gen", json!(null)),
    ];
    for (name, value) in wrong {
        let mut claims = good.claims.clone();
        claims[name] = value;
        invalid(&process, &signed(&claims)).await;
        claims.as_object_mut().unwrap().remove(name);
        invalid(&process, &signed(&claims)).await;
    }

    // It was signed, whatever the clock of the process said that did.
    let mut claims = good.claims.clone();
    claims["iat"] = json!(now + 3600);
    process.tokens.authenticate(&signed(&claims)).await.unwrap();
    for (nbf, valid) in [(now - 3600, true), (now + 30, true), (now + 3600, false)] {
        claims["nbf"] = json!(nbf);
        match valid {
            true => drop(process.tokens.authenticate(&signed(&claims)).await.unwrap()),
            false => invalid(&process, &signed(&claims)).await,
        }
    }
}

#[tokio::test]
async fn a_critical_extension_that_is_not_understood_is_refused() {
    let (_cluster, process, key, token) = known_key().await;
    let good = parts(&token);
    let signed = |header: &Value| {
        let header: Header = serde_json::from_value(header.clone()).unwrap();
        jsonwebtoken::encode(&header, &good.claims, &key).unwrap()
    };
    let mut header = good.header.clone();
    header["exp"] = json!(1);
    process.tokens.authenticate(&signed(&header)).await.unwrap();
    for critical in [json!(["exp"]), json!(["b64", "exp"]), json!([])] {
        header["crit"] = critical;
        invalid(&process, &signed(&header)).await;
    }
}

#[tokio::test]
async fn the_key_decides_the_algorithm_and_the_type_is_checked() {
    let (_cluster, process, key, token) = known_key().await;
    let good = parts(&token);
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!(null)),
        ("alg", json!("HS512")),
    ] {
        let mut header = good.header.clone();
        header[name] = value;
        let header: Header = serde_json::from_value(header).unwrap();
        let token = jsonwebtoken::encode(&header, &good.claims, &key).unwrap();
        invalid(&process, &token).await;
    }
    let header: Header = serde_json::from_value(good.header.clone()).unwrap();
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes");
    invalid(
        &process,
        &jsonwebtoken::encode(&header, &good.claims, &other).unwrap(),
    )
    .await;
    let mut unknown = header.clone();
    for kid in [
        None,
        Some("x".to_owned()),
        Some(Uuid::from_u128(7).to_string()),
    ] {
        unknown.kid = kid;
        invalid(
            &process,
            &jsonwebtoken::encode(&unknown, &good.claims, &key).unwrap(),
        )
        .await;
    }
    let mut none = good.header.clone();
    none["alg"] = json!("none");
    invalid(
        &process,
        &format!("{}.{}.", encoded(&none), encoded(&good.claims)),
    )
    .await;
}

#[tokio::test]
async fn a_header_may_say_the_same_in_another_way() {
    let (_cluster, process, key, token) = known_key().await;
    let good = parts(&token);
    let mut header: Header = serde_json::from_value(good.header.clone()).unwrap();
    header.typ = Some("application/AT+JWT".to_owned());
    let signed = |key| jsonwebtoken::encode(&header, &good.claims, key).unwrap();
    process.tokens.authenticate(&signed(&key)).await.unwrap();
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes");
    invalid(&process, &signed(&other)).await;
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let (_cluster, process) = Cluster::with(&[("auth.algorithm", "EdDSA")]).await;
    user(&process, "luxi").await;
    let token = sign_in(&process, "luxi").await.access_token;
    let good = parts(&token);
    let jwk = serde_json::to_value(process.tokens.public_keys()).unwrap()["keys"][0].clone();
    let public = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    let mut header: Header = serde_json::from_value(good.header).unwrap();
    header.alg = Algorithm::HS256;
    let key = EncodingKey::from_secret(&public);
    invalid(
        &process,
        &jsonwebtoken::encode(&header, &good.claims, &key).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let (_cluster, process, _, token) = known_key().await;
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut admin = parts(&token).claims;
    admin["role"] = json!("admin");
    invalid(
        &process,
        &format!("{header}.{}.{signature}", encoded(&admin)),
    )
    .await;
    invalid(&process, &format!("{header}.{claims}.")).await;
    invalid(&process, &format!("{header}.{claims}")).await;
    invalid(&process, &format!("{token}.")).await;
    invalid(&process, &format!("{token}=")).await;
    let mut end = signature.to_owned();
    let last = if end.pop() == Some('A') { 'B' } else { 'A' };
    invalid(&process, &format!("{header}.{claims}.{end}{last}")).await;
    invalid(&process, "").await;
}
