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
    let metrics = client.get(format!("{}/metrics", server.figures));
    let metrics = send(metrics).await.expect(200);
    let text = String::from_utf8_lossy(&metrics.bytes);
    for series in SERIES {
        assert!(
            text.lines().any(|line| line.starts_with(series)),
            "no {series} in {text}"
        );
    }
}

#[tokio::test]
async fn figures_are_on_an_address_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let client = client();
    let status = async |address: &str, path: &str| {
        let answer = client.get(format!("{address}{path}")).send().await;
        answer.expect("an answer").status().as_u16()
    };
    // They tell how many people vote, be the results hidden or not.
    for path in ["/metrics", "/metrics/", "//metrics", "/metrics/1"] {
        assert_eq!(status(&server.address, path).await, 404, "{path}");
    }
    for address in [&server.address, &server.figures] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(status(address, path).await, 200, "{path}");
        }
    }
    assert_eq!(status(&server.figures, "/metrics").await, 200);
    for path in ["/", "/api/v1/questions", "/openapi.json"] {
        assert_eq!(status(&server.figures, path).await, 404, "{path}");
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
