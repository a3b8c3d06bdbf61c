//! A client sends its next request once it has the answer to the last one, or, with `--rate`, once
//! the next request is due.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;

use super::figures::{Error, Figures};
use super::pace::Pace;
use super::plan::{Plan, Progress};
use super::target::{Connection, Target};

/// How long a client waits after it could not connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What all clients of a round share.
#[derive(Debug)]
pub struct Round {
    pub target: Target,
    pub plan: Arc<Plan>,
    pub pace: Pace,
    pub timeout: Duration,
    /// The requests that have ended so far, successful or not, for the progress bar.
    pub answered: AtomicU64,
    pub failed: AtomicU64,
}

/// What the clients of one thread have measured, for each part of the plan.
pub type ThreadFigures = Mutex<Vec<Figures>>;

impl Round {
    /// Runs one client from its connection to the end of the round. Returns its progress, whether
    /// it ran out of requests, and when it ended.
    pub async fn client(
        &self,
        mut progress: Progress,
        figures: &ThreadFigures,
    ) -> (Progress, bool, Instant) {
        // If this fails, the first request tries again.
        let connected = tokio::time::timeout(self.timeout, self.target.connect()).await;
        let mut connection = connected.ok().and_then(Result::ok);
        let mut now = self.pace.begin().await;
        let mut exhausted = false;
        while let Some(due) = self.pace.turn(now).await {
            let Some((sent, request)) = self.plan.next(&mut progress) else {
                exhausted = true;
                break;
            };
            let deadline = due + self.timeout;
            let outcome = if self.pace.is_open() && Instant::now() >= deadline {
                Err(Error::Unsent)
            } else {
                let exchange = self.exchange(&mut connection, request);
                let outcome = tokio::time::timeout_at(deadline.into(), exchange).await;
                outcome.unwrap_or(Err(Error::Timeout))
            };
            now = Instant::now();
            let status = outcome.as_ref().ok().map(|(status, _)| *status);
            let outcome = match outcome {
                Ok((status, _)) if status.as_u16() >= 400 => Err(Error::Status(status)),
                Ok((_, length)) => Ok(length),
                Err(error) => Err(error),
            };
            let unconnected = outcome.is_err_and(Error::is_connecting);
            let sent_at_all = !unconnected && outcome != Err(Error::Unsent);
            if sent_at_all {
                self.plan.note(&mut progress, sent, status);
            }
            {
                let figures = &mut figures.lock()[sent.part];
                match outcome {
                    Ok(length) => {
                        figures.latencies.record(now - due);
                        figures.received += length;
                        figures.sent += sent.body_length;
                    }
                    Err(error) => *figures.errors.entry(error).or_default() += 1,
                }
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            if outcome.is_err() {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            // A late answer must not be taken for that of the next request.
            if status.is_none() && sent_at_all {
                connection = None;
            }
            if unconnected {
                tokio::time::sleep(RECONNECT_PAUSE).await;
                now = Instant::now();
            }
        }
        (progress, exhausted, now)
    }

    /// Sends a request and reads the answer: the status, and the length of the body.
    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, u64), Error> {
        let outcome = match connection {
            Some(open) => match open.send(request).await {
                // A server may close an idle connection: send the request on a new one.
                Err(lost) => match lost.unsent {
                    Some(request) => self.send_on_new(connection, request).await,
                    None => Err(Error::of(&lost.error)),
                },
                Ok(response) => Ok(response),
            },
            None => self.send_on_new(connection, request).await,
        };
        let response = outcome?;
        let status = response.status();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::of(&error))?;
            length += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if !self.target.keep_alive() {
            *connection = None;
        }
        Ok((status, length))
    }

    async fn send_on_new(
        &self,
        connection: &mut Option<Connection>,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, Error> {
        let new: io::Result<Connection> = self.target.connect().await;
        let open = connection.insert(new.map_err(|error| Error::connecting(&error))?);
        let outcome = open.send(request).await;
        outcome.map_err(|lost| Error::of(&lost.error))
    }
}
