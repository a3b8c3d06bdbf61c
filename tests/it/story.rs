//! The whole story: sign up, ask, vote, change one's mind, read the tally.

use reqwest::Method;
use serde_json::json;

use crate::support::{TestApp, app::send};

#[tokio::test]
async fn from_signing_up_to_the_results() {
    let (app, author) = TestApp::with_user("露西").await;
    let voter = app.user("南希").await;
    let question = author
        .ask(
            &["python", "java", "go"],
            json!({"question_text": "最受欢迎的计算机语言?"}),
        )
        .await;

    let ballot = voter.vote(&question, &[0]).await.expect(201);
    assert_eq!(ballot.json["choice_ids"], json!([question.choices[0]]));
    assert_eq!(ballot.json["results"]["choices"][0]["votes"], 1);
    voter.vote(&question, &[0]).await.expect(200);
    let changed = voter.vote(&question, &[2]).await.expect(200);
    assert_eq!(changed.json["cast_at"], ballot.json["cast_at"]);
    author.vote(&question, &[2]).await.expect(201);

    let results = app
        .get(&format!("{}/results", question.path))
        .await
        .expect(200);
    assert_eq!(results.json["ballot_count"], 2);
    assert_eq!(
        results.json["leading_choice_ids"],
        json!([question.choices[2]])
    );
    assert_eq!(results.json["choices"][2]["share"], 1.0);
    assert_eq!(results.json["is_final"], false);

    voter
        .delete(&format!("{}/ballot", question.path))
        .await
        .expect(204);
    voter
        .get(&format!("{}/ballot", question.path))
        .await
        .problem("not_found");
    let shown = app.get(&question.path).await.expect(200);
    assert_eq!(shown.json["ballot_count"], 1);
    assert_eq!(shown.json["author"]["name"], "露西");

    let closed = author
        .post(&format!("{}/close", question.path), json!(null))
        .await
        .expect(200);
    assert_eq!(closed.json["status"], "closed");
    voter.vote(&question, &[1]).await.problem("voting_closed");
    author.vote(&question, &[2]).await.expect(200);
    let results = app
        .get(&format!("{}/results", question.path))
        .await
        .expect(200);
    assert_eq!(results.json["is_final"], true);
}

#[tokio::test]
async fn the_server_is_alive_and_ready() {
    let app = TestApp::start().await;
    send(app.outside(Method::GET, "/healthz")).await.expect(200);
    send(app.outside(Method::GET, "/readyz")).await.expect(200);
}
