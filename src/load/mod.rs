//! The load tester: many clients at once, and figures of how they were served.
//!
//! It uses only HTTP and no other part of the program, so that it can load any server. `prepare`
//! turns the `options` into a `plan`; each `client` sends the plan's requests at the times that
//! `pace` sets; `figures` become a `report`. If results are watched meanwhile, each of the
//! `watchers` reads the `events` of its own `stream`.

mod acknowledged;
mod api;
mod ballots;
mod bodies;
mod client;
mod events;
mod figures;
mod mistake;
mod options;
mod pace;
mod plan;
mod prepare;
mod progress;
mod report;
mod stream;
mod target;
mod watchers;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use client::{Round, ThreadFigures};
use figures::Figures;
pub use mistake::Mistake;
pub use options::{Options, Scenario};
use pace::Pace;
use parking_lot::Mutex;
use plan::{Plan, Progress};
use report::{Report, Section, WatchFigures};
use target::Target;
use watchers::{Watched, Watchers};

/// Loads a server as the options say, and prints a report.
///
/// # Errors
/// [`Mistake`] if nothing could be measured. After printing the report: if no request succeeded, if
/// the server's count of ballots differs from what it acknowledged, or if a watcher has not seen
/// all of them.
pub async fn run(options: Options) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let target = Target::find(&options).await?;
    let plan = Arc::new(prepare::prepare(&options, &target).await?);
    let watchers = Watchers::open(&options, &target, &plan).await?;
    let measured = measure(&options, &target, &plan).await?;
    let (mut check, mut watched) = (None, None);
    if let Some(ballots) = plan.ballots() {
        let counted = prepare::counted(&target, ballots).await?;
        check = Some(ballots.check(&counted));
        if let (Some(watchers), [counted]) = (watchers, &counted[..]) {
            watched = tokio::select! {
                watched = watchers.see(counted.ballots, options.timeout) => Some(watched),
                Ok(()) = tokio::signal::ctrl_c() => return Err(Mistake::Interrupted.into()),
            };
        }
    }
    let report = measured.report(&options, &plan, check, watched.as_ref());
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        report.print(&mut out)?;
    }
    if let Some(check) = report.ballots.filter(|check| !check.agrees) {
        return Err(Mistake::Miscounted(check.differences.join("\n")).into());
    }
    if report.total.requests == 0 {
        return Err(Mistake::NothingSucceeded.into());
    }
    if let Some(watched) = watched.filter(|watched| !watched.missed.is_empty()) {
        return Err(Mistake::Missed(watched.explain()).into());
    }
    Ok(())
}

/// What was measured in each round: the time it took, and figures for each part of the plan.
struct Measured {
    rounds: Vec<(f64, Vec<Figures>)>,
    exhausted: bool,
}

impl Measured {
    fn report(
        &self,
        options: &Options,
        plan: &Plan,
        ballots: Option<ballots::BallotCheck>,
        watched: Option<&Watched>,
    ) -> Report {
        let mut parts = vec![Figures::default(); plan.parts.len()];
        let mut seconds = 0.0;
        let mut rounds = Vec::new();
        for (round_seconds, figures) in &self.rounds {
            seconds += round_seconds;
            for (part, figures) in parts.iter_mut().zip(figures) {
                part.add(figures);
            }
            rounds.push(Section::new(&sum(figures), *round_seconds));
        }
        let sections = plan
            .parts
            .iter()
            .zip(&parts)
            .filter(|_| parts.len() > 1)
            .map(|(part, figures)| (part.name, Section::new(figures, seconds)));
        Report {
            url: options.url.clone(),
            scenario: options.scenario.name(),
            clients: options.clients,
            protocol: if options.http2 { "HTTP/2" } else { "HTTP/1.1" },
            keep_alive: !options.no_keep_alive,
            asked_rate: options.rate,
            total: Section::new(&sum(&parts), seconds),
            parts: sections.collect::<BTreeMap<_, _>>(),
            rounds,
            ballots,
            watched: watched.map(|watched| WatchFigures::new(watched, options.voters)),
            exhausted: self.exhausted,
        }
    }
}

fn sum(parts: &[Figures]) -> Figures {
    let mut sum = Figures::default();
    for part in parts {
        sum.add(part);
    }
    sum
}

/// Runs the rounds. Ctrl-C ends the current round, and no other is begun; a second Ctrl-C does not
/// wait for answers.
async fn measure(
    options: &Options,
    target: &Target,
    plan: &Arc<Plan>,
) -> Result<Measured, Mistake> {
    let clients = options.senders() as usize;
    let mut clients_progress = plan.begin(clients);
    let mut measured = Measured {
        rounds: Vec::new(),
        exhausted: false,
    };
    for number in 1..=options.rounds {
        if number > 1 {
            tokio::time::sleep(options.pause).await;
        }
        let round = Arc::new(Round {
            target: target.clone(),
            plan: plan.clone(),
            pace: Pace::new(clients, options.round(), options.count, options.rate),
            timeout: options.timeout,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let bar = progress::of_round(options.json, number, options.rounds);
        let threads = options.threads.map_or_else(cores, |count| count as usize);
        let (all, interrupted) = {
            let mut working = std::pin::pin!(work(&round, clients_progress, threads.min(clients)));
            let mut interrupted = false;
            let outcome = loop {
                tokio::select! {
                    outcome = &mut working => break outcome,
                    () = progress::follow(&bar, &round, options.round(), options.count) => {}
                    // If Ctrl-C cannot be caught, the round runs to its end.
                    Ok(()) = tokio::signal::ctrl_c() => {
                        if std::mem::replace(&mut interrupted, true) {
                            return Err(Mistake::Interrupted);
                        }
                        round.pace.stop();
                    }
                }
            };
            (outcome?, interrupted)
        };
        drop(bar);
        measured.rounds.push((all.seconds, all.figures));
        clients_progress = all.progress;
        measured.exhausted = all.exhausted && !interrupted;
        if interrupted || measured.exhausted {
            break;
        }
    }
    Ok(measured)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What the threads of a round have measured.
struct Work {
    seconds: f64,
    figures: Vec<Figures>,
    progress: Vec<Progress>,
    exhausted: bool,
}

/// Distributes the clients over threads, each with a runtime of its own, and waits for all.
async fn work(
    round: &Arc<Round>,
    progress: Vec<Progress>,
    threads: usize,
) -> Result<Work, Mistake> {
    let clients = progress.len();
    let mut shares: Vec<Vec<Progress>> = (0..threads).map(|_| Vec::new()).collect();
    for (client, progress) in progress.into_iter().enumerate() {
        shares[client % threads].push(progress);
    }
    let pacer = {
        let round = round.clone();
        thread::Builder::new().spawn(move || round.pace.run(clients))
    };
    let pacer = pacer.map_err(Mistake::Thread)?;
    // All runtimes are made before any client connects: connections could otherwise use up the file
    // descriptors that a runtime needs.
    let runtime = |_| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let runtimes = (0..threads).map(runtime).collect::<io::Result<Vec<_>>>();
    let mut threads_done = Vec::new();
    for (share, runtime) in shares.into_iter().zip(runtimes.map_err(Mistake::Thread)?) {
        let round = round.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let body = move || {
            let outcome = runtime.block_on(serve(&round, share));
            drop(runtime);
            // The receiver waits until all threads have sent.
            drop(sender.send(outcome));
        };
        thread::Builder::new()
            .spawn(body)
            .map_err(Mistake::Thread)?;
        threads_done.push(receiver);
    }
    let mut figures = vec![Figures::default(); round.plan.parts.len()];
    let mut all = Vec::new();
    for done in threads_done {
        let (measured, share) = done
            .await
            .map_err(io::Error::other)
            .map_err(Mistake::Thread)?;
        for (sum, figures) in figures.iter_mut().zip(&measured) {
            sum.add(figures);
        }
        all.extend(share);
    }
    round.pace.stop();
    drop(pacer.join());
    let start = round.pace.start();
    let end = all.iter().map(|(_, _, end)| *end).max();
    let seconds = end.map_or(0.0, |end| {
        end.saturating_duration_since(start).as_secs_f64()
    });
    let exhausted = all.iter().any(|(_, exhausted, _)| *exhausted);
    all.sort_by_key(|(progress, _, _)| progress.client());
    Ok(Work {
        seconds,
        figures,
        progress: all.into_iter().map(|(progress, _, _)| progress).collect(),
        exhausted,
    })
}

type Share = Vec<(Progress, bool, Instant)>;

/// The clients of one thread.
async fn serve(round: &Arc<Round>, share: Vec<Progress>) -> (Vec<Figures>, Share) {
    let figures: Arc<ThreadFigures> =
        Arc::new(Mutex::new(vec![Figures::default(); round.plan.parts.len()]));
    let mut clients = tokio::task::JoinSet::new();
    for progress in share {
        let (round, figures) = (round.clone(), figures.clone());
        clients.spawn(async move { round.client(progress, &figures).await });
    }
    let share = clients.join_all().await;
    let figures = std::mem::take(&mut *figures.lock());
    (figures, share)
}
