//! `/healthz`: the process is alive. `/readyz`: it can take requests.

use std::time::Duration;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use poem::endpoint::{make, make_sync};
use poem::{Response, Result};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::failure::{Code, Failure};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Adds both. `check` tells whether requests can be answered, and what is reported of it.
pub fn add<C, F>(site: Site, check: C, shutdown: CancellationToken) -> Site
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    site.get_without_limit("/healthz", make_sync(|_| told(&json!({"status": "ok"}))))
        .get_without_limit(
            "/readyz",
            make(move |_| {
                let stopping = shutdown.is_cancelled();
                let answer = (!stopping).then(|| tokio::time::timeout(PATIENCE, check()));
                async move { ready(answer).await }
            }),
        )
}

async fn ready(
    answer: Option<
        impl Future<Output = Result<Result<Value, Failure>, tokio::time::error::Elapsed>>,
    >,
) -> Result<Response, Failure> {
    let Some(answer) = answer else {
        let detail = "This process is stopping; send the request to another.";
        return Err(Failure::new(Code::ShuttingDown, detail));
    };
    match answer.await {
        Ok(Ok(report)) => Ok(told(&report)),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::overloaded("The database did not answer in time.")),
    }
}

fn told(report: &Value) -> Response {
    let mut response = Response::from(report.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use poem::{Endpoint, Request};

    use super::*;

    async fn readiness<C, F>(check: C, shutdown: CancellationToken) -> Result<Response, Code>
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let request = Request::builder().uri("/readyz".parse().unwrap()).finish();
        let (router, _) = add(Site::default(), check, shutdown).into_parts([]);
        let answer = router.call(request).await;
        answer.map_err(|error| super::super::problem::from_error(error).code)
    }

    #[tokio::test]
    async fn ready_means_that_the_database_answers() {
        let running = CancellationToken::new;
        let answer = readiness(|| async { Ok(Value::Null) }, running())
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let failing = || async { Err(Failure::overloaded("No schema.")) };
        assert_eq!(
            readiness(failing, running()).await.unwrap_err(),
            Code::Overloaded
        );
        let hanging = readiness(pending, running()).await;
        assert_eq!(hanging.unwrap_err(), Code::Overloaded);
    }

    #[tokio::test]
    async fn a_stopping_process_is_not_ready() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let answer = readiness(|| async { Ok(Value::Null) }, shutdown).await;
        assert_eq!(answer.unwrap_err(), Code::ShuttingDown);
    }
}
