use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use super::super::keys::{self, KeysError};
use super::*;

const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
const OTHER_KEY: &str = "b3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJz";

async fn rotate(house: &House, settings: &[(&str, &str)]) -> Result<Uuid, KeysError> {
    let config = house.config(settings);
    let db = Db::connect(&config.database).await.unwrap();
    keys::rotate(&db, &house.clock, &config.auth).await
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn all_processes_of_a_database_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let house = House {
        folder,
        clock: Clock::default(),
    };
    let db = Db::connect(&house.config(&[]).database).await.unwrap();
    db.migrate_up(None).await.unwrap();
    let (a, b, c) = tokio::join!(house.open(&[]), house.open(&[]), house.open(&[]));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    user(&a, "luxi").await;
    let granted = sign_in(&a, "luxi").await;
    for authority in [a, b, c] {
        caller(&authority, &granted).await;
    }
}

#[tokio::test]
async fn a_process_with_another_key_refuses_to_start() {
    let (house, _authority) = House::with(&[("auth.key", KEY)]).await;
    house.open(&[("auth.key", KEY)]).await.unwrap();
    house.open(&[]).await.unwrap();
    let refused = house.open(&[("auth.key", OTHER_KEY)]).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Keys(KeysError::OtherKey)),
        "{refused:?}"
    );
    let refused = house
        .open(&[("auth.algorithm", "EdDSA")])
        .await
        .err()
        .unwrap();
    let message = refused.to_string();
    assert!(
        message.contains("EdDSA") && message.contains("HS256"),
        "{message}"
    );
}

#[tokio::test]
async fn an_old_key_is_kept_until_its_tokens_have_expired() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let old = sign_in(&authority, "luxi").await;
    let other = house.open(&[]).await.unwrap();
    let new_kid = rotate(&house, &[]).await.unwrap().to_string();
    authority.catch_up().await.unwrap();
    let new = sign_in(&authority, "luxi").await;
    assert_eq!(kid(&new.access_token), new_kid);
    assert_ne!(kid(&old.access_token), new_kid);

    caller(&authority, &old).await;
    // The other process has not polled since: it looks for the key that it does not know.
    house.clock.advance(SECOND);
    caller(&other, &new).await;

    let minted = authority
        .mint("luxi@example.org", 24 * 60 * MINUTE)
        .await
        .unwrap();
    rotate(&house, &[]).await.unwrap();
    house.clock.advance(23 * 60 * MINUTE);
    authority.catch_up().await.unwrap();
    authority.authenticate(&minted.access_token).await.unwrap();
    // Kept for the minted token that the first rotation did not know of, then no longer.
    house.clock.advance(2 * 60 * MINUTE);
    assert!(
        house
            .open(&[])
            .await
            .unwrap()
            .keys
            .find(&minted.access_token)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn rotating_takes_the_configured_key_and_algorithm() {
    let (house, authority) = House::with(&[("auth.key", KEY)]).await;
    user(&authority, "luxi").await;
    let old = sign_in(&authority, "luxi").await;
    let same = rotate(&house, &[("auth.key", KEY)]).await;
    assert!(matches!(same, Err(KeysError::SameKey)), "{same:?}");
    rotate(&house, &[("auth.key", OTHER_KEY)]).await.unwrap();
    house.open(&[("auth.key", KEY)]).await.err().unwrap();
    let next = house.open(&[("auth.key", OTHER_KEY)]).await.unwrap();
    caller(&next, &old).await;

    rotate(&house, &[("auth.algorithm", "ES256")])
        .await
        .unwrap();
    let next = house.open(&[("auth.algorithm", "ES256")]).await.unwrap();
    caller(&next, &old).await;
    caller(&next, &sign_in(&next, "luxi").await).await;
    assert_eq!(next.public_keys().keys.len(), 1);
}

#[tokio::test]
async fn others_can_check_asymmetric_tokens_and_learn_no_secret() {
    let (_house, secret) = House::new().await;
    assert_eq!(secret.public_keys(), JwkSet { keys: Vec::new() });
    for algorithm in ["ES256", "EdDSA"] {
        let (_house, authority) = House::with(&[("auth.algorithm", algorithm)]).await;
        user(&authority, "luxi").await;
        let granted = sign_in(&authority, "luxi").await;
        caller(&authority, &granted).await;

        let token = &granted.access_token;
        let published = serde_json::to_value(authority.public_keys()).unwrap();
        assert_eq!(published["keys"][0]["d"], Value::Null);
        let published: JwkSet = serde_json::from_value(published).unwrap();
        let jwk = published.find(&kid(token)).unwrap();
        let mut validation = Validation::new(algorithm.parse().unwrap());
        validation.set_audience(&["polls"]);
        validation.validate_exp = true;
        let key = DecodingKey::from_jwk(jwk).unwrap();
        jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    }
}

#[tokio::test]
async fn a_configured_private_key_signs() {
    let key = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIC1vzX6JHa2E0wJ4bQXtb4cyFbJkM0pEmqrKPXUWHOpN
-----END PRIVATE KEY-----
";
    let settings = [("auth.algorithm", "EdDSA"), ("auth.key", key)];
    let (house, authority) = House::with(&settings).await;
    user(&authority, "luxi").await;
    let granted = sign_in(&authority, "luxi").await;
    caller(&house.open(&settings).await.unwrap(), &granted).await;
}

async fn revoke(house: &House, settings: &[(&str, &str)]) -> Result<Uuid, KeysError> {
    let config = house.config(settings);
    let db = Db::connect(&config.database).await.unwrap();
    keys::revoke(&db, &house.clock, &config.auth).await
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_refused_and_sessions_go_on() {
    let (house, authority) = House::new().await;
    let other = house.open(&[]).await.unwrap();
    user(&authority, "luxi").await;
    let older = sign_in(&authority, "luxi").await;
    rotate(&house, &[]).await.unwrap();
    authority.catch_up().await.unwrap();
    let old = sign_in(&authority, "luxi").await;
    let watching = caller(&other, &old).await;

    let new_kid = revoke(&house, &[]).await.unwrap().to_string();
    // One polls, the other has to look because what it knows is too old.
    authority.catch_up().await.unwrap();
    other.freshness.pass(MINUTE);
    for process in [&authority, &other] {
        for granted in [&older, &old] {
            let refused = process.authenticate(&granted.access_token).await;
            assert_eq!(code(refused), Code::Unauthenticated);
        }
    }
    // Streams that such a token has opened end.
    assert!(!other.is_still(&watching));
    for granted in [&older, &old] {
        let new = authority.refresh(&granted.refresh_token).await.unwrap();
        assert_eq!(kid(&new.access_token), new_kid);
        caller(&other, &new).await;
    }
}

#[tokio::test]
async fn a_process_that_cannot_read_the_keys_lets_nobody_in() {
    let (_house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let granted = sign_in(&authority, "luxi").await;
    authority.freshness.pass(MINUTE);
    let hidden = "ALTER TABLE signing_keys RENAME TO hidden_keys";
    let hidden = authority.db().read().execute_unprepared(hidden);
    hidden.await.unwrap();
    let refused = authority.authenticate(&granted.access_token).await;
    assert_eq!(code(refused), Code::Overloaded);
}

#[tokio::test]
async fn a_configured_key_is_not_revoked() {
    let settings = [("auth.key", KEY)];
    let (house, authority) = House::with(&settings).await;
    user(&authority, "luxi").await;
    let granted = sign_in(&authority, "luxi").await;
    let refused = revoke(&house, &settings).await.unwrap_err();
    assert!(refused.to_string().contains("auth.key"), "{refused}");
    authority.catch_up().await.unwrap();
    caller(&authority, &granted).await;
}
