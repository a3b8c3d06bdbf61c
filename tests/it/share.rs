//! What several processes share, with Redis and without.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use polls::clock::Clock;
use polls::config;
use polls::share::{News, Share};
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::app::{PASSWORD, client, send};
use crate::support::certificate::Certificate;
use crate::support::crowd::{CHEAP_PASSWORDS, all_at_once};
use crate::support::redis::Redis;
use crate::support::{Answer, Server, User, engine, eventually};

/// Servers of one database, which share through Redis if there is one.
struct House {
    servers: Vec<Server>,
    client: Client,
    /// Deleted with the test.
    _folder: TempDir,
}

impl House {
    fn start(servers: usize, redis: Option<&Redis>, settings: &[&str]) -> House {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let servers = (0..servers)
            .map(|_| serve(folder.path(), redis, settings))
            .collect();
        House {
            servers,
            client: client(),
            _folder: folder,
        }
    }

    /// One of the servers in turn.
    fn address(&self, turn: usize) -> &str {
        &self.servers[turn % self.servers.len()].address
    }

    fn register(&self, turn: usize, email: &str) -> RequestBuilder {
        let account = json!({"name": "Ada", "email": email, "password": PASSWORD});
        let users = self
            .client
            .post(format!("{}/api/v1/users", self.address(turn)));
        users.json(&account)
    }

    async fn sign_in(&self, turn: usize, email: &str, password: &str) -> Answer {
        let form = [
            ("grant_type", "password"),
            ("username", email),
            ("password", password),
        ];
        let token = format!("{}/api/v1/auth/token", self.address(turn));
        send(self.client.post(token).form(&form)).await
    }

    async fn fail_to_sign_in(&self, turn: usize, email: &str) {
        let answer = self.sign_in(turn, email, "a wrong password").await;
        assert_eq!(answer.expect(400).json["error"], "invalid_grant");
    }

    /// Waits until all servers report that Redis is connected, or that it is not.
    async fn all_see_redis(&self, there: bool) {
        let expected = if there { 1.0 } else { 0.0 };
        for server in &self.servers {
            eventually(async || server.metric("polls_share_redis_up").await == expected).await;
        }
    }
}

fn serve(folder: &Path, redis: Option<&Redis>, settings: &[&str]) -> Server {
    let mut arguments = vec!["--port", "0"];
    arguments.extend(CHEAP_PASSWORDS);
    let url = redis.map(|redis| format!("share.redis_url={}", redis.url()));
    if let Some(url) = &url {
        arguments.extend(["--set", url]);
    }
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    Server::serve(folder, &arguments)
}

const EMAIL: &str = "ada@example.org";

async fn ten_failures_over_four_processes_are_ten(redis: Option<&Redis>) {
    let house = House::start(4, redis, &[]);
    send(house.register(0, EMAIL)).await.expect(201);
    for email in [EMAIL, "nobody@example.org"] {
        for turn in 0..10 {
            house.fail_to_sign_in(turn, email).await;
        }
        for turn in 0..4 {
            let refused = house.sign_in(turn, email, PASSWORD).await;
            refused.expect(429).problem("rate_limited");
        }
    }
    // Others are not affected.
    send(house.register(1, "bob@example.org")).await.expect(201);
    house
        .sign_in(2, "bob@example.org", PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn failures_are_counted_together_through_redis() {
    if let Some(redis) = Redis::start() {
        ten_failures_over_four_processes_are_ten(Some(&redis)).await;
    }
}

#[tokio::test]
async fn failures_are_counted_together_through_the_database() {
    ten_failures_over_four_processes_are_ten(None).await;
}

/// Concurrent registrations at four servers: exactly as many succeed as the limit allows.
async fn no_registration_is_too_many(redis: Option<&Redis>) {
    let house = House::start(
        4,
        redis,
        &["limits.registrations_per_address=7", "share.timeout=5s"],
    );
    let answers = all_at_once(0..60, async |turn| {
        send(house.register(turn, &format!("user{turn}@example.org"))).await
    });
    let (done, refused): (Vec<_>, Vec<_>) = answers
        .await
        .into_iter()
        .partition(|answer| answer.status == 201);
    assert_eq!(done.len(), 7);
    for answer in refused {
        let answer = answer.expect(429).problem("rate_limited");
        assert!(answer.header("ratelimit-policy").contains("q=7"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_at_once_are_counted_exactly_through_redis() {
    if let Some(redis) = Redis::start() {
        no_registration_is_too_many(Some(&redis)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_at_once_are_counted_exactly_through_the_database() {
    no_registration_is_too_many(None).await;
}

#[tokio::test]
async fn while_redis_is_away_each_process_counts_for_itself() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let house = House::start(2, Some(&redis), &[]);
    house.all_see_redis(true).await;
    send(house.register(0, EMAIL)).await.expect(201);
    for turn in [0, 0, 0, 0, 0, 0, 1] {
        house.fail_to_sign_in(turn, EMAIL).await;
    }
    redis.kill();
    // Nobody is refused because of that, and what each process has learnt still counts: the first
    // knows of the first six failures, the second of all seven.
    for turn in [0, 0, 0, 0, 1, 1, 1] {
        house.fail_to_sign_in(turn, EMAIL).await;
    }
    for turn in 0..2 {
        house.sign_in(turn, EMAIL, PASSWORD).await.expect(429);
        let ready = house.client.get(format!("{}/readyz", house.address(turn)));
        send(ready).await.expect(200);
    }
    house.all_see_redis(false).await;

    redis.restart();
    house.all_see_redis(true).await;
    let other = "bob@example.org";
    for turn in 0..10 {
        house.fail_to_sign_in(turn, other).await;
    }
    for turn in 0..2 {
        house.sign_in(turn, other, PASSWORD).await.expect(429);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let house = House::start(1, Some(&redis), &[]);
    send(house.register(0, EMAIL)).await.expect(201);
    redis.hang();
    // Each with a timeout of half a minute.
    house.fail_to_sign_in(0, EMAIL).await;
    house.sign_in(0, EMAIL, PASSWORD).await.expect(200);
    house.all_see_redis(false).await;
    redis.go_on();
    house.all_see_redis(true).await;
}

#[tokio::test]
async fn a_server_starts_without_its_redis_and_finds_it_later() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    redis.kill();
    let house = House::start(1, Some(&redis), &[]);
    send(house.register(0, EMAIL)).await.expect(201);
    assert_eq!(house.servers[0].metric("polls_share_redis_up").await, 0.0);
    redis.restart();
    house.all_see_redis(true).await;
}

#[tokio::test]
async fn a_password_opens_redis_and_is_never_shown() {
    const SECRET: &str = "hunter2-&%41/@";
    let Some(redis) = Redis::with(&["--requirepass", SECRET]) else {
        return;
    };
    let password = format!("share.redis_password={SECRET}");
    let house = House::start(1, Some(&redis), &[&password]);
    house.all_see_redis(true).await;

    let wrong = House::start(1, Some(&redis), &["share.redis_password=hunter3"]);
    wrong.all_see_redis(false).await;
    let House { servers, .. } = wrong;
    for server in servers {
        let log = server.log();
        assert!(log.contains("Redis cannot be reached"), "{log}");
        assert!(!log.contains("hunter3"), "{log}");
    }
}

#[tokio::test]
async fn redis_is_spoken_to_over_tls_by_a_certificate_that_is_trusted() {
    let Some(certificate) = Certificate::of_localhost("redis") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Certificate {
        key, certificate, ..
    } = &certificate;
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("its address").port().to_string();
    drop(free);
    let tls = ["--tls-port", &port, "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", certificate, "--tls-key-file", key];
    let Some(_redis) = Redis::with(&[&tls[..], &files[..]].concat()) else {
        return;
    };
    let url = format!("share.redis_url=rediss://localhost:{port}");
    let arguments = ["--port", "0", "--set", &url];
    let connected = async |environment: &[(&str, &str)]| {
        let server = Server::serve_with(folder.path(), &arguments, environment);
        let connected = server.metric("polls_share_redis_up").await == 1.0;
        (connected, server.log())
    };
    let (trusted, log) = connected(&[("SSL_CERT_FILE", certificate)]).await;
    assert!(trusted, "{log}");
    let (trusted, log) = connected(&[]).await;
    assert!(!trusted && log.contains("certificate"), "{log}");
}

/// A `Share` that belongs to the test.
async fn share(folder: &Path, redis: &Redis) -> Share {
    let db = engine::connect(&engine::database_url(folder)).await;
    let config = config::Share {
        redis_url: Some(redis.url().try_into().expect("an address")),
        redis_password: None,
        prefix: "polls:".to_owned(),
        timeout: Duration::from_millis(250),
    };
    let share = Share::open(&config, db, Clock::default()).expect("it opens");
    share.connect().await;
    assert!(share.hears_others());
    share
}

#[tokio::test]
async fn news_reaches_the_others_once_and_a_gap_is_told() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (one, other) = (
        share(folder.path(), &redis).await,
        share(folder.path(), &redis).await,
    );
    let _kept: Vec<_> = [&one, &other]
        .map(|share| AbortOnDropHandle::new(tokio::spawn(share.clone().keep())))
        .into();
    let (mut here, mut there) = (one.listen(), other.listen());
    let question = Uuid::from_u128(7);
    one.tell_of_revocation();
    one.tell_of_question(question);
    other.tell_of_question(Uuid::max());
    assert_eq!(here.next().await, News::QuestionChanged(question));
    assert_eq!(here.next().await, News::QuestionChanged(Uuid::max()));
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(there.next().await);
    }
    assert!(heard.contains(&News::TokensRevoked), "{heard:?}");
    assert!(
        heard.contains(&News::QuestionChanged(question)),
        "{heard:?}"
    );

    redis.kill();
    eventually(async || !one.hears_others() && !other.hears_others()).await;
    // Nobody receives this; a gap is reported later.
    one.tell_of_revocation();
    redis.restart();
    assert_eq!(there.next().await, News::Gap);
    eventually(async || one.hears_others()).await;
    one.tell_of_question(question);
    assert_eq!(there.next().await, News::QuestionChanged(question));
}

async fn a_sign_out_is_felt_elsewhere(redis: Option<&Redis>) {
    let house = House::start(4, redis, &["limits.enabled=false"]);
    send(house.register(0, EMAIL)).await.expect(201);
    for turn in 0..4 {
        let tokens = house.sign_in(turn, EMAIL, PASSWORD).await.expect(200);
        let token = tokens.text("access_token");
        let user = User::of_token("", &token, house.client.clone(), house.address(turn));
        user.delete("/auth/sessions").await.expect(204);
        for other in 0..4 {
            let there = user.at(house.address(other));
            eventually(async || there.get("/users/me").await.status == 401).await;
        }
    }
}

#[tokio::test]
async fn a_sign_out_is_felt_elsewhere_with_redis() {
    if let Some(redis) = Redis::start() {
        a_sign_out_is_felt_elsewhere(Some(&redis)).await;
    }
}

#[tokio::test]
async fn a_sign_out_is_felt_elsewhere_without_redis() {
    a_sign_out_is_felt_elsewhere(None).await;
}
