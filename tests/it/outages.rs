//! Databases that are killed, hang, or fail over to another host, under load.
//!
//! The servers are never restarted. Clients send a ballot again after a 503, as the contract tells
//! them to. In the end every ballot is counted exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{MutexGuard, Notify};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::app::{Question, client, send, try_send};
use crate::support::crowd::{Tally, all_at_once, crowd};
use crate::support::database::{
    Cluster, Database, GALERA, Kind, MARIADB, POSTGRES, TURN, promote, spare_of, standby_of,
};
use crate::support::patroni::Patroni;
use crate::support::{Server, User, amount, engine, eventually, polls};

type Turn = MutexGuard<'static, ()>;

/// The pause before a client sends a refused ballot again.
const AGAIN: Duration = Duration::from_millis(20);

/// For how long a client retries.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with an empty database for polls, unless the test is to be skipped.
async fn database(kind: &Kind) -> Option<(Turn, Database)> {
    let program = kind.installed()?;
    let turn = TURN.lock().await;
    let database = Database::start(kind, &program);
    database.run("CREATE DATABASE polls");
    Some((turn, database))
}

/// The same on a cluster of three nodes, with a list of hosts for each process, beginning with a
/// different node.
async fn cluster() -> Option<(Turn, Cluster, [Vec<String>; 3])> {
    let program = GALERA.installed()?;
    let turn = TURN.lock().await;
    let cluster = Cluster::start(&program, 3);
    cluster.nodes[0].run("CREATE DATABASE polls");
    cluster.wait();
    let hosts = |first: usize| {
        let nodes = (0..3).map(|number| &cluster.nodes[(first + number) % 3]);
        nodes.map(|node| node.url("polls")).collect()
    };
    let hosts = [hosts(0), hosts(1), hosts(2)];
    Some((turn, cluster, hosts))
}

/// Server processes of one database, and users who vote there.
struct House {
    servers: Vec<Server>,
    voters: Arc<Vec<User>>,
    folder: TempDir,
}

impl House {
    /// Starts a process for each list of hosts.
    fn start(hosts: &[Vec<String>], voters: usize) -> House {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = json!({
            "database": {"urls": hosts[0]},
            "limits": {"enabled": false},
            "accounts": {"password_memory": "64KiB", "password_iterations": 1},
        });
        std::fs::create_dir(folder.path().join("config")).expect("a folder");
        // JSON is YAML.
        std::fs::write(folder.path().join("config/polls.yaml"), config.to_string())
            .expect("it is written");
        let start = |hosts: &Vec<String>| {
            let urls = format!("database.urls={}", hosts.join(","));
            Server::start(folder.path(), &["--set", &urls])
        };
        let servers: Vec<Server> = hosts.iter().map(start).collect();
        let voters = Arc::new(crowd(folder.path(), &servers[0], voters));
        House {
            servers,
            voters,
            folder,
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All users vote once, at one of the servers each, and send refused ballots again.
    fn storm(&self, question: &Question) -> Storm {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let under_way = Arc::new(Notify::new());
        let addresses: Vec<String> = self.servers.iter().map(|it| it.address.clone()).collect();
        let (voters, question) = (self.voters.clone(), question.clone());
        let (acks, notify) = (acknowledged.clone(), under_way.clone());
        let storm = async move {
            all_at_once(0..voters.len(), |turn| {
                let voter = voters[turn].at(&addresses[turn % addresses.len()]);
                let (question, acks, notify) = (&question, &acks, &notify);
                let enough = voters.len() / 4;
                async move {
                    insist(&voter, question, turn % 3).await;
                    let mut acks = acks.lock().unwrap_or_else(PoisonError::into_inner);
                    acks.push(Instant::now());
                    if acks.len() == enough {
                        notify.notify_one();
                    }
                }
            })
            .await;
        };
        Storm {
            acknowledged,
            under_way,
            task: tokio::spawn(storm),
        }
    }

    /// Expects each server to count each user once, for the right choice.
    async fn check(&self, question: &Question) {
        let all = self.voters.len();
        for server in &self.servers {
            let reader = self.voters[0].at(&server.address);
            let tally = Tally::of(
                &reader
                    .get(&question.under("results"))
                    .await
                    .expect(200)
                    .json,
            );
            let votes = (0..3).map(|choice| (0..all).filter(|turn| turn % 3 == choice).count());
            let votes: Vec<i64> = votes.map(|votes| votes as i64).collect();
            assert_eq!((tally.votes, tally.ballots), (votes, all as i64));
        }
        all_at_once(0..all, |turn| {
            let voter = self.voters[turn].at(&self.servers[turn % self.servers.len()].address);
            async move {
                let ballot = voter.get(&question.under("ballot")).await.expect(200);
                let chosen = &question.choices[turn % 3];
                assert_eq!(ballot.json["choice_ids"], json!([chosen]));
            }
        })
        .await;
        polls(self.folder(), &["recount", "--check"]).done();
    }

    async fn question(&self) -> Question {
        self.voters[0].ask(&["a", "b", "c"], json!({})).await
    }

    /// Waits until all servers are ready, or until none is.
    async fn all_say(&self, ready: bool) {
        let expected = if ready { 200 } else { 503 };
        for server in &self.servers {
            eventually(async || probe(server, "/readyz").await == expected).await;
        }
    }
}

/// Casts a ballot, and sends it again until it is acknowledged.
async fn insist(voter: &User, question: &Question, choice: usize) {
    let begun = Instant::now();
    let mut perhaps = false;
    loop {
        let sent = try_send(voter.ballot(question, &[choice])).await;
        let answer = sent.expect("the server is never restarted");
        match answer.status {
            StatusCode::CREATED => return,
            StatusCode::OK => {
                assert!(perhaps, "a first ballot that was there already: {answer:?}");
                return;
            }
            _ => {
                perhaps |= answer.json["code"] == "outcome_unknown";
                let code = if perhaps && answer.json["code"] == "outcome_unknown" {
                    "outcome_unknown"
                } else {
                    "overloaded"
                };
                answer.problem(code).expect(503);
            }
        }
        assert!(begun.elapsed() < PATIENCE, "refused for ever");
        sleep(AGAIN).await;
    }
}

/// Voting in progress.
struct Storm {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    under_way: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Storm {
    /// Waits for the end. Returns the longest time in which nothing was acknowledged.
    async fn over(self) -> Duration {
        self.task.await.expect("nobody is refused for ever");
        let times = self.acknowledged.lock().expect("no panic");
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }
}

fn report(what: &str, mut gaps: Vec<Duration>) {
    gaps.sort();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!("{what}: longest gap in service {longest:?}, median of the rounds {median:?}");
}

/// The status of a path outside the API.
async fn probe(server: &Server, path: &str) -> u16 {
    let answer = send(client().get(format!("{}{path}", server.address))).await;
    answer.status.as_u16()
}

/// Kills the database under load, several times.
async fn killed_under_load(kind: &Kind) {
    let Some((_turn, mut database)) = database(kind).await else {
        return;
    };
    let hosts = vec![database.url("polls")];
    let house = House::start(&[hosts.clone(), hosts], amount(400, 4_000));
    let mut gaps = Vec::new();
    for _ in 0..amount(2, 10) {
        let question = house.question().await;
        let storm = house.storm(&question);
        storm.under_way.notified().await;
        database.kill();
        database.restart();
        gaps.push(storm.over().await);
        house.check(&question).await;
    }
    report(kind.name, gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_postgresql_is_killed() {
    killed_under_load(&POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_mariadb_is_killed() {
    killed_under_load(&MARIADB).await;
}

/// A primary dies, and its standby takes over.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_standby_is_promoted() {
    let Some((_turn, mut primary)) = database(&POSTGRES).await else {
        return;
    };
    let mut standby = standby_of(&primary, spare_of(&primary));
    let hosts = vec![primary.url("polls"), standby.url("polls")];
    let house = House::start(&[hosts.clone(), hosts], amount(400, 4_000));
    let mut gaps = Vec::new();
    for _ in 0..amount(2, 10) {
        let question = house.question().await;
        let storm = house.storm(&question);
        storm.under_way.notified().await;
        primary.kill();
        // It gets a standby only later: until then no commit must wait for one.
        standby.run("ALTER SYSTEM RESET synchronous_standby_names");
        standby.run("SELECT pg_reload_conf()::text");
        promote(&standby);
        gaps.push(storm.over().await);
        house.check(&question).await;
        (primary, standby) = (standby, primary);
        standby = standby_of(&primary, standby);
    }
    report("promotion of the standby", gaps);
}

/// Patroni does a switchover; then the primary's machine is lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_patroni_promotes_another() {
    let _turn = TURN.lock().await;
    let Some(mut patroni) = Patroni::start() else {
        return;
    };
    engine::run(
        &patroni.nodes[patroni.wait()].address,
        "CREATE DATABASE polls",
    )
    .expect("it is new");
    let hosts: Vec<String> = patroni
        .nodes
        .iter()
        .map(|it| format!("{}/polls", it.address))
        .collect();
    let house = House::start(&[hosts.clone(), hosts], amount(400, 4_000));
    let (mut handed_over, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..amount(1, 10) {
        let question = house.question().await;
        let storm = house.storm(&question);
        storm.under_way.notified().await;
        patroni.switch_over();
        handed_over.push(storm.over().await);
        house.check(&question).await;

        let primary = patroni.wait();
        let question = house.question().await;
        let storm = house.storm(&question);
        storm.under_way.notified().await;
        patroni.nodes[primary].kill();
        lost.push(storm.over().await);
        house.check(&question).await;
        patroni.nodes[primary].start();
        patroni.wait();
    }
    report("switch-over by Patroni", handed_over);
    report("fail-over by Patroni", lost);
}

/// Each process prefers another node.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_galera_node_is_killed() {
    let Some((_turn, mut cluster, hosts)) = cluster().await else {
        return;
    };
    let house = House::start(&hosts, amount(400, 4_000));
    let mut gaps = Vec::new();
    for round in 0..amount(2, 10) {
        let question = house.question().await;
        let storm = house.storm(&question);
        storm.under_way.notified().await;
        let node = &mut cluster.nodes[round % 3];
        node.kill();
        gaps.push(storm.over().await);
        house.check(&question).await;
        cluster.nodes[round % 3].restart();
        cluster.wait();
    }
    report("loss of a Galera node", gaps);
}

/// The database accepts no writes for a while, as after a manual switchover.
async fn demoted(kind: &Kind, read_only: &[&str], writable: &[&str]) {
    let Some((_turn, database)) = database(kind).await else {
        return;
    };
    let hosts = vec![database.url("polls")];
    let house = House::start(&[hosts.clone(), hosts], amount(400, 4_000));
    let question = house.question().await;
    let storm = house.storm(&question);
    storm.under_way.notified().await;
    for statement in read_only {
        database.run(statement);
    }
    house.all_say(false).await;
    for statement in writable {
        database.run(statement);
    }
    house.all_say(true).await;
    report("without writes", vec![storm.over().await]);
    house.check(&question).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_postgresql_is_read_only() {
    const RELOAD: &str = "SELECT pg_reload_conf()::text";
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    let writable = "ALTER SYSTEM RESET default_transaction_read_only";
    demoted(&POSTGRES, &[read_only, RELOAD], &[writable, RELOAD]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_mariadb_is_read_only() {
    let (read_only, writable) = ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0");
    demoted(&MARIADB, &[read_only], &[writable]).await;
}

/// Two of three nodes hang: the third has no majority, and must not go on alone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_galera_node_is_left_alone() {
    let Some((_turn, cluster, hosts)) = cluster().await else {
        return;
    };
    let house = House::start(&hosts, amount(400, 4_000));
    let question = house.question().await;
    let storm = house.storm(&question);
    storm.under_way.notified().await;
    let others = &cluster.nodes[..2];
    others.iter().for_each(Database::stall);
    house.all_say(false).await;
    others.iter().for_each(Database::go_on);
    report("a node left alone", vec![storm.over().await]);
    cluster.wait();
    house.all_say(true).await;
    house.check(&question).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_turns_read_only_is_503_and_comes_back() {
    let Some((_turn, database)) = database(&POSTGRES).await else {
        return;
    };
    let house = House::start(&[vec![database.url("polls")]], 1);
    house.all_say(true).await;
    for (value, ready) in [("on", false), ("off", true)] {
        database.run(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = {value}"
        ));
        database.run("SELECT pg_reload_conf()::text");
        house.all_say(ready).await;
    }
    // Only a write can show that the table cannot be written to.
    for (change, ready) in [
        (
            "ALTER TABLE locks ADD CONSTRAINT never CHECK (taken < 0) NOT VALID",
            false,
        ),
        ("ALTER TABLE locks DROP CONSTRAINT never", true),
    ] {
        let db = engine::connect(&database.url("polls")).await;
        let done = db.read().execute_unprepared(change).await;
        done.expect("it is changed");
        db.close().await;
        house.all_say(ready).await;
    }
}

/// A database that cannot store text of every language is refused before anything is created in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_database_of_another_encoding_is_refused() {
    let Some((_turn, database)) = database(&POSTGRES).await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        database.run(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
        ));
        let url = format!("database.url={}", database.url(&name));
        let refused = polls(folder.path(), &["migrate", "up", "--set", &url]).fails(1);
        for words in [
            encoding,
            "polls needs UTF8",
            "TEMPLATE template0 ENCODING 'UTF8'",
        ] {
            assert!(refused.contains(words), "no {words} in {refused}");
        }
    }
    // The advice in the message works.
    database.run("CREATE DATABASE good TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
    speaks_chinese(&database.url("good")).await;
}

/// MariaDB's tables set their own encoding, whatever that of the database is.
#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_database_of_another_encoding_does() {
    let Some((_turn, database)) = database(&MARIADB).await else {
        return;
    };
    database.run("CREATE DATABASE latin CHARACTER SET latin1");
    speaks_chinese(&database.url("latin")).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("database.url={}?charset=latin1", database.url("latin"));
    let refused = polls(folder.path(), &["migrate", "up", "--set", &url]).fails(1);
    for words in ["latin1", "polls needs utf8mb4", "Remove charset"] {
        assert!(refused.contains(words), "no {words} in {refused}");
    }
}

/// Expects a database to store text of any language.
async fn speaks_chinese(url: &str) {
    let house = House::start(&[vec![url.to_owned()]], 1);
    let voter = &house.voters[0];
    let text = "最受欢迎的语言? 😀";
    let question = voter.ask(&["投", "票", "😀"], json!({"question_text": text}));
    let question = question.await;
    voter.vote(&question, &[2]).await.expect(201);
    let shown = voter.get(&question.path).await.expect(200).json;
    assert_eq!(shown["question_text"], text);
    assert_eq!(shown["choices"][2]["choice_text"], "😀");
    assert_eq!(shown["choices"][2]["votes"], 1);
    let found = voter.get("/questions?q=欢迎").await.expect(200).json;
    assert_eq!(found["data"][0]["id"], question.id);
}

/// The database stops answering, without closing its connections.
async fn stalled(kind: &Kind) {
    let Some((_turn, database)) = database(kind).await else {
        return;
    };
    let house = House::start(&[vec![database.url("polls")]], 30);
    let (question, server) = (house.question().await, &house.servers[0]);
    house.all_say(true).await;

    database.stall();
    // Some requests use an open connection, some wait for a new one, some hand in ballots.
    let waiting: Vec<_> = (0..house.voters.len())
        .map(|turn| ask(&house.voters[turn], &question, turn))
        .collect();
    assert_eq!(probe(server, "/healthz").await, 200);
    let mut refused = BTreeMap::<String, Vec<Duration>>::new();
    for answer in waiting {
        let (status, code, waited) = answer.await.expect("no panic");
        assert_eq!(status, 503, "{code}");
        refused.entry(code).or_default().push(waited);
    }
    for (code, waited) in refused {
        assert!(code == "overloaded" || code == "outcome_unknown", "{code}");
        let (count, longest) = (waited.len(), waited.iter().max());
        println!("{}: {count} {code}, after {longest:?} at most", kind.name);
    }
    assert_eq!(probe(server, "/healthz").await, 200);
    assert_eq!(probe(server, "/readyz").await, 503);
    // New requests are refused without waiting for the database.
    for turn in 0..3 {
        let again = ask(&house.voters[turn], &question, turn).await;
        let (status, code, waited) = again.expect("no panic");
        assert_eq!((status, &*code), (503, "overloaded"));
        println!("{}: refused after {waited:?} while it is away", kind.name);
    }

    database.go_on();
    let back = Instant::now();
    house.all_say(true).await;
    println!("{}: ready {:?} after it went on", kind.name, back.elapsed());
    for (turn, voter) in house.voters.iter().enumerate() {
        let answer = voter.vote(&question, &[turn % 3]).await;
        assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer:?}");
    }
    house.check(&question).await;
}

/// Sends a request that reads, registers or votes, in turn. Returns its status, its problem code,
/// and how long it took.
fn ask(voter: &User, question: &Question, turn: usize) -> JoinHandle<(u16, String, Duration)> {
    let request = match turn % 3 {
        0 => voter.request(reqwest::Method::GET, &question.path),
        1 => voter.ballot(question, &[turn % 3]),
        _ => {
            let text = json!({"name": format!("New {turn}")});
            voter
                .request(reqwest::Method::PATCH, "/users/me")
                .json(&text)
        }
    };
    tokio::spawn(async move {
        let begun = Instant::now();
        let answer = send(request).await;
        let code = match &answer.json["code"] {
            Value::String(code) => code.clone(),
            other => other.to_string(),
        };
        (answer.status.as_u16(), code, begun.elapsed())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_postgresql_is_503_and_comes_back() {
    stalled(&POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_mariadb_is_503_and_comes_back() {
    stalled(&MARIADB).await;
}
