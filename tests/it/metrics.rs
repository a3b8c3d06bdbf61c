//! What an operator can watch.

use serde_json::json;

use crate::support::app::{client, send};
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::{Server, eventually};

/// The series that dashboards are built on.
const SERIES: [&str; 10] = [
    "http_request_duration_seconds_count{route=\"/api/v1/questions\",method=\"GET\",status=\"200\"} 1",
    "http_requests_in_flight ",
    "http_connections ",
    "polls_ballot_batch_size_count ",
    "polls_ballot_commit_seconds_count ",
    "polls_ballot_queue ",
    "polls_shared_reads_total{reader=\"questions\"} 1",
    "polls_shared_queries_total{reader=\"questions\"} 1",
    "polls_database_connections{pool=\"writer\",state=",
    "process_resident_memory_bytes ",
];

#[tokio::test]
async fn the_metrics_tell_what_the_server_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let client = client();
    let get = |path: &str| send(client.get(format!("{}{path}", server.address)));
    get("/api/v1/questions").await.expect(200);
    let metrics = get("/metrics").await.expect(200);
    let text = String::from_utf8_lossy(&metrics.bytes);
    for series in SERIES {
        assert!(
            text.lines().any(|line| line.starts_with(series)),
            "no {series} in {text}"
        );
    }
}

#[tokio::test]
async fn the_queue_of_ballots_is_empty_when_all_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let voters = crowd(folder.path(), &server, 1);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    voters[0].vote(&question, &[0]).await.expect(201);
    assert!(server.metric("polls_ballot_batch_size_count").await >= 1.0);
    // The voter is answered a moment before the gauge is set.
    eventually(async || server.metric("polls_ballot_queue").await == 0.0).await;
}
