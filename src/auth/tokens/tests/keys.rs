use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use super::*;
use crate::auth::tokens::keys::{self, KeysError};

const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
const OTHER_KEY: &str = "b3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJzb3RoZXJz";

async fn rotate(cluster: &Cluster, settings: &[(&str, &str)]) -> Result<Uuid, KeysError> {
    let config = cluster.config(settings);
    let db = Db::connect(&config.database).await.unwrap();
    keys::rotate(&db, &cluster.clock, &config.auth).await
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn all_processes_of_a_database_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster {
        folder,
        clock: Clock::default(),
    };
    let db = Db::connect(&cluster.config(&[]).database).await.unwrap();
    db.migrate_up(None).await.unwrap();
    let (a, b, c) = tokio::join!(cluster.open(&[]), cluster.open(&[]), cluster.open(&[]));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    user(&a, "luxi").await;
    let granted = sign_in(&a, "luxi").await;
    for process in [a, b, c] {
        caller(&process, &granted).await;
    }
}

#[tokio::test]
async fn a_process_with_another_key_refuses_to_start() {
    let (cluster, _process) = Cluster::with(&[("auth.key", KEY)]).await;
    cluster.open(&[("auth.key", KEY)]).await.unwrap();
    cluster.open(&[]).await.unwrap();
    let refused = cluster
        .open(&[("auth.key", OTHER_KEY)])
        .await
        .err()
        .unwrap();
    assert!(
        matches!(refused, OpenError::Keys(KeysError::OtherKey)),
        "{refused:?}"
    );
    let refused = cluster
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
    let (cluster, process) = Cluster::new().await;
    let luxi = user(&process, "luxi").await;
    let old = sign_in(&process, "luxi").await;
    let other = cluster.open(&[]).await.unwrap();
    let new_kid = rotate(&cluster, &[]).await.unwrap().to_string();
    process.tokens.catch_up().await.unwrap();
    let new = sign_in(&process, "luxi").await;
    assert_eq!(kid(&new.access_token), new_kid);
    assert_ne!(kid(&old.access_token), new_kid);

    caller(&process, &old).await;
    // The other process has not polled since: it looks for the key that it does not know.
    cluster.clock.advance(SECOND);
    caller(&other, &new).await;

    let minted = process
        .tokens
        .mint(luxi.id, 24 * 60 * MINUTE)
        .await
        .unwrap();
    rotate(&cluster, &[]).await.unwrap();
    cluster.clock.advance(23 * 60 * MINUTE);
    process.tokens.catch_up().await.unwrap();
    process
        .tokens
        .authenticate(&minted.access_token)
        .await
        .unwrap();
    // Kept for the minted token that the first rotation did not know of, then no longer.
    cluster.clock.advance(2 * 60 * MINUTE);
    assert!(
        cluster
            .open(&[])
            .await
            .unwrap()
            .tokens
            .keys
            .find(&minted.access_token)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn rotating_takes_the_configured_key_and_algorithm() {
    let (cluster, process) = Cluster::with(&[("auth.key", KEY)]).await;
    user(&process, "luxi").await;
    let old = sign_in(&process, "luxi").await;
    let same = rotate(&cluster, &[("auth.key", KEY)]).await;
    assert!(matches!(same, Err(KeysError::SameKey)), "{same:?}");
    rotate(&cluster, &[("auth.key", OTHER_KEY)]).await.unwrap();
    cluster.open(&[("auth.key", KEY)]).await.err().unwrap();
    let next = cluster.open(&[("auth.key", OTHER_KEY)]).await.unwrap();
    caller(&next, &old).await;

    rotate(&cluster, &[("auth.algorithm", "ES256")])
        .await
        .unwrap();
    let next = cluster.open(&[("auth.algorithm", "ES256")]).await.unwrap();
    caller(&next, &old).await;
    caller(&next, &sign_in(&next, "luxi").await).await;
    assert_eq!(next.tokens.public_keys().keys.len(), 1);
}

#[tokio::test]
async fn others_can_check_asymmetric_tokens_and_learn_no_secret() {
    let (_cluster, secret) = Cluster::new().await;
    assert_eq!(secret.tokens.public_keys(), JwkSet { keys: Vec::new() });
    for algorithm in ["ES256", "EdDSA"] {
        let (_cluster, process) = Cluster::with(&[("auth.algorithm", algorithm)]).await;
        user(&process, "luxi").await;
        let granted = sign_in(&process, "luxi").await;
        caller(&process, &granted).await;

        let token = &granted.access_token;
        let published = serde_json::to_value(process.tokens.public_keys()).unwrap();
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
    let (cluster, process) = Cluster::with(&settings).await;
    user(&process, "luxi").await;
    let granted = sign_in(&process, "luxi").await;
    caller(&cluster.open(&settings).await.unwrap(), &granted).await;
}

async fn revoke(cluster: &Cluster, settings: &[(&str, &str)]) -> Result<Uuid, KeysError> {
    let config = cluster.config(settings);
    let db = Db::connect(&config.database).await.unwrap();
    keys::revoke(&db, &cluster.clock, &config.auth).await
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_refused_and_sessions_go_on() {
    let (cluster, process) = Cluster::new().await;
    let other = cluster.open(&[]).await.unwrap();
    user(&process, "luxi").await;
    let older = sign_in(&process, "luxi").await;
    rotate(&cluster, &[]).await.unwrap();
    process.tokens.catch_up().await.unwrap();
    let old = sign_in(&process, "luxi").await;
    let watching = caller(&other, &old).await;

    let new_kid = revoke(&cluster, &[]).await.unwrap().to_string();
    // One polls, the other has to look because what it knows is too old.
    process.tokens.catch_up().await.unwrap();
    other.tokens.freshness.pass(MINUTE);
    for process in [&process, &other] {
        for granted in [&older, &old] {
            let refused = process.tokens.authenticate(&granted.access_token).await;
            assert_eq!(code(refused), Code::Unauthenticated);
        }
    }
    // Streams that such a token has opened end.
    assert_eq!(other.tokens.validity(&watching), Validity::Revoked);
    for granted in [&older, &old] {
        let new = process
            .tokens
            .refresh(&granted.refresh_token)
            .await
            .unwrap();
        assert_eq!(kid(&new.access_token), new_kid);
        caller(&other, &new).await;
    }
}

#[tokio::test]
async fn a_process_that_cannot_read_the_keys_lets_nobody_in() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let granted = sign_in(&process, "luxi").await;
    process.tokens.freshness.pass(MINUTE);
    let hidden = "ALTER TABLE signing_keys RENAME TO hidden_keys";
    let hidden = process.db.read().execute_unprepared(hidden);
    hidden.await.unwrap();
    let refused = process.tokens.authenticate(&granted.access_token).await;
    assert_eq!(code(refused), Code::Overloaded);
}

#[tokio::test]
async fn a_configured_key_is_not_revoked() {
    let settings = [("auth.key", KEY)];
    let (cluster, process) = Cluster::with(&settings).await;
    user(&process, "luxi").await;
    let granted = sign_in(&process, "luxi").await;
    let refused = revoke(&cluster, &settings).await.unwrap_err();
    assert!(refused.to_string().contains("auth.key"), "{refused}");
    process.tokens.catch_up().await.unwrap();
    caller(&process, &granted).await;
}
