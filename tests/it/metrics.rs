//! What an operator can watch.

use crate::support::Server;
use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;

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
