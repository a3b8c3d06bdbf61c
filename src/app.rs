//! The whole wiring, once: what the parts are and who is handed what.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::{DynEndpoint, ToDynEndpoint};
use sd_notify::NotifyState;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::api::{GuestsApi, PasswordResetApi, SessionsApi, TokensApi};
use crate::auth::{Accounts, Tokens};
use crate::ballots::api::{BallotsApi, RollApi};
use crate::ballots::{Ballots, idle_guests, unlink};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::db::{ConnectError, Db, MigrateError, Readiness};
use crate::downloads::Downloads;
use crate::failure::Failure;
use crate::http::cors::Cors;
use crate::http::rates::Rates;
use crate::http::spec::Description;
use crate::http::{
    self, API, Address, Admission, Bound, Listener, Metrics, Site, Stack, health, security_txt,
    spec,
};
use crate::invitations::Invitations;
use crate::invitations::api::InvitationsApi;
use crate::live::Hub;
use crate::live::api::LiveApi;
use crate::mail::api::MailApi;
use crate::mail::{self, Kind, Letter, Mail, Message};
use crate::questions::api::{ChoicesApi, QuestionsApi};
use crate::questions::{Questions, Quotas};
use crate::results::Views;
use crate::results::api::ResultsApi;
use crate::results::export::Exports;
use crate::results::export::api::ExportApi;
use crate::share::{self, Share};
use crate::users::api::{MeApi, MyDataApi, UsersApi};
use crate::{auth, telemetry, watchdog, web};

/// How long the last ballots may take to be counted once nobody waits for them any more.
const LAST_BALLOTS: Duration = Duration::from_secs(10);

/// What the server and the commands work with.
pub struct App {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub share: Share,
    pub mail: Mail,
    pub tokens: Tokens,
    pub accounts: Accounts,
    pub questions: Questions,
    pub invitations: Invitations,
    pub ballots: Ballots,
    ballot_box: JoinHandle<()>,
}

/// Why there is nothing to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Share(#[from] share::OpenError),
    #[error(transparent)]
    Mail(#[from] mail::OpenError),
    #[error(transparent)]
    Auth(#[from] auth::OpenError),
}

/// Why nobody can be served: the address is in use, or not this machine's.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{}", self.advice())]
struct ListenError {
    address: Address,
    #[source]
    cause: io::Error,
}

impl ListenError {
    fn advice(&self) -> &'static str {
        match (&self.address, self.cause.kind()) {
            (Address::Tcp(_), io::ErrorKind::AddrInUse) => {
                "; name another port, or port 0 for any that is free, as in `polls --port 0`"
            }
            _ => "",
        }
    }
}

/// Takes an address, for clients to be let in later.
async fn bind(address: &Address, mode: u32) -> Result<Bound, ListenError> {
    let bound = Bound::new(address, mode).await;
    bound.map_err(cannot_listen(address))
}

fn cannot_listen(address: &Address) -> impl FnOnce(io::Error) -> ListenError {
    let address = address.clone();
    |cause| ListenError { address, cause }
}

impl App {
    /// Connects to the database, brings its schema up to date where that is configured, and opens
    /// what rests on it.
    pub async fn open(config: Config, clock: Clock) -> Result<App, OpenError> {
        let db = Db::connect(&config.database).await?;
        if config.database.migrate {
            db.migrate_up(None).await?;
        } else {
            db.require_schema().await?;
        }
        let share = Share::open(&config.share, db.clone(), clock.clone())?;
        let mail = Mail::open(db.clone(), clock.clone(), &config)?;
        let opened = auth::open(
            db.clone(),
            clock.clone(),
            share.clone(),
            mail.clone(),
            &config,
        );
        let (tokens, accounts) = opened.await?;
        let quotas = Quotas::new(&config.limits);
        let questions = Questions::new(
            db.clone(),
            clock.clone(),
            share.clone(),
            mail.clone(),
            quotas,
            unlink::step,
        );
        let invitations = Invitations::new(
            db.clone(),
            clock.clone(),
            mail.clone(),
            (tokens.clone(), accounts.clone()),
            quotas,
            &config.limits,
        );
        let (ballots, ballot_box) = Ballots::open(
            db.clone(),
            clock.clone(),
            share.clone(),
            accounts.hmac_keys().clone(),
            &config.ballots,
        );
        Ok(App {
            config,
            clock,
            db,
            share,
            mail,
            tokens,
            accounts,
            questions,
            invitations,
            ballots,
            ballot_box,
        })
    }

    /// Counts what is in the ballot box, and lets the database go.
    pub async fn close(self) {
        let App {
            ballots,
            ballot_box,
            tokens,
            accounts,
            db,
            ..
        } = self;
        drop((ballots, tokens, accounts));
        if tokio::time::timeout(LAST_BALLOTS, ballot_box)
            .await
            .is_err()
        {
            tracing::warn!("requests that never ended still hold the ballot box");
        }
        db.close().await;
    }
}

/// The parts of the API.
pub type Apis = (
    TokensApi,
    SessionsApi,
    GuestsApi,
    PasswordResetApi,
    UsersApi,
    MeApi,
    MyDataApi,
    MailApi,
    QuestionsApi,
    ChoicesApi,
    InvitationsApi,
    BallotsApi,
    RollApi,
    ExportApi,
    ResultsApi,
    LiveApi,
);

/// The OpenAPI document of the API.
pub fn document() -> Value {
    describe().document
}

/// The API, as its clients and the server see it.
#[expect(
    clippy::expect_used,
    reason = "a test checks that the API can be described, which no input changes"
)]
pub fn describe() -> Description {
    spec::describe::<Apis>().expect("the API can be described")
}

/// The API, as its handlers.
fn api(app: &App, views: Views, hub: Hub, tasks: TaskTracker) -> Apis {
    let downloads = Downloads::default();
    let App {
        config,
        db,
        mail,
        tokens,
        accounts,
        questions,
        invitations,
        ballots,
        ..
    } = app;
    (
        TokensApi {
            accounts: accounts.clone(),
            tokens: tokens.clone(),
            invitations: invitations.clone(),
        },
        SessionsApi {
            tokens: tokens.clone(),
        },
        GuestsApi {
            accounts: accounts.clone(),
        },
        PasswordResetApi {
            accounts: accounts.clone(),
        },
        UsersApi {
            db: db.clone(),
            accounts: accounts.clone(),
        },
        MeApi {
            accounts: accounts.clone(),
        },
        MyDataApi {
            db: app.db.clone(),
            accounts: accounts.clone(),
            tokens: tokens.clone(),
            mail: mail.clone(),
            questions: questions.clone(),
            ballots: ballots.clone(),
            views: views.clone(),
            clock: app.clock.clone(),
            downloads: downloads.clone(),
        },
        MailApi { mail: mail.clone() },
        QuestionsApi {
            questions: questions.clone(),
            views: views.clone(),
        },
        ChoicesApi {
            questions: questions.clone(),
            views: views.clone(),
        },
        InvitationsApi {
            invitations: invitations.clone(),
        },
        BallotsApi {
            ballots: ballots.clone(),
            views: views.clone(),
            clock: app.clock.clone(),
        },
        RollApi {
            ballots: ballots.clone(),
            views: views.clone(),
        },
        ExportApi {
            exports: Exports::new(app.db.clone(), views.clone(), downloads),
        },
        ResultsApi {
            views: views.clone(),
            public_url: config.server.public_url.clone(),
        },
        LiveApi {
            hub,
            views,
            tokens: tokens.clone(),
            cors: Arc::new(Cors::new(&config.cors, config.server.public_url.as_ref())),
            tasks,
        },
    )
}

/// Serves as configured until SIGTERM or SIGINT, then finishes what was begun.
pub async fn serve(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    telemetry::init(&config.log)?;
    let server = config.server.clone();
    // The addresses are taken before the database is touched. Clients are accepted only once they
    // can be served.
    let bound = bind(&server.address(), server.path_mode).await?;
    let figures = match &server.metrics {
        Some(address) => Some((bind(address, server.path_mode).await?, address)),
        None => None,
    };
    // Before anything is opened: the parts take hold of their metrics when they are made.
    let metrics = figures.is_some().then(Metrics::install);
    warn_of_unknown_address(&server);
    // In a box: the future is large.
    let app = Box::pin(App::open(config, Clock::default())).await?;
    watchdog::start()?;
    let stop = CancellationToken::new();
    http::stop_on_signals(stop.clone())?;
    let listener = bound.listen().map_err(cannot_listen(&server.address()))?;
    let figures = match figures {
        Some((bound, address)) => Some(bound.listen().map_err(cannot_listen(address))?),
        None => None,
    };
    greet(&app, &listener, figures.as_ref());
    // To systemd, where it waits for that.
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        tracing::warn!(%error, "NOTIFY_SOCKET cannot be told that the server is ready");
    }
    Box::pin(run(app, listener, figures.zip(metrics), stop)).await;
    Ok(())
}

/// Writes a message that is about to be sent: each kind by the feature that has queued it. None where
/// the message has lost its purpose.
async fn write_letter(
    accounts: Accounts,
    invitations: Invitations,
    message: Message,
) -> Result<Option<Letter>, Failure> {
    match message.kind {
        Kind::PasswordReset => accounts.write_password_reset(message).await,
        Kind::EmailVerification => accounts.write_verification(message).await,
        Kind::AddressChanged => accounts.write_notice_of_address(message),
        Kind::PasswordChanged => accounts.write_notice_of_password(message),
        Kind::Invitation => invitations.write_letter(message).await,
    }
}

/// Serves until `stop`, then finishes what was begun and closes the app. `metrics` is a second
/// listener, for the operator.
pub async fn run(
    app: App,
    listener: Listener,
    figures: Option<(Listener, Metrics)>,
    stop: CancellationToken,
) {
    let background = Background::default();
    app.share.connect().await;
    background.spawn(app.share.clone().keep());
    background.spawn(
        app.questions
            .clone()
            .keep_sealing(app.config.ballots.seal_interval),
    );
    background.spawn(app.tokens.clone().maintain());
    background.spawn(app.accounts.clone().maintain());
    background.spawn(app.mail.clone().maintain());
    background.spawn(idle_guests::keep_removing(
        app.db.clone(),
        app.clock.clone(),
        app.accounts.clone(),
    ));
    let (accounts, invitations) = (app.accounts.clone(), app.invitations.clone());
    let write = move |message| write_letter(accounts.clone(), invitations.clone(), message);
    background.spawn(app.mail.clone().keep_delivering(write));
    if let Some((_, metrics)) = &figures {
        let metrics = metrics.clone();
        background.spawn(async move { metrics.keep_up().await });
        background.spawn(app.db.clone().keep_measuring());
    }
    let readiness = Readiness::new(app.db.clone(), app.clock.clone());
    // Once without being asked: a clock that is wrong shows in the log from the start.
    let first_check = {
        let readiness = readiness.clone();
        async move {
            readiness.report().await;
        }
    };
    background.spawn(first_check);
    let views = Views::new(app.db.clone(), app.clock.clone());
    let hub = Hub::new(
        app.db.clone(),
        app.clock.clone(),
        app.share.clone(),
        app.tokens.clone(),
        views.clone(),
        &app.config,
    );
    background.spawn(hub.clone().run());
    let end_of_streams = async {
        stop.cancelled().await;
        // The listener closes then, too, so that clients that reconnect reach another process.
        tokio::time::sleep(app.config.http.shutdown_delay).await;
        hub.stop();
    };

    let figures = async {
        let Some((listener, metrics)) = figures else {
            return;
        };
        // A port of its own: the limits of the public port do not keep the operator out.
        let port = Port::new(&app, &stop);
        let stack = operators_endpoint(&app, readiness.clone(), metrics, &port);
        port.serve(listener, stack).await;
    };
    let port = Port::new(&app, &stop);
    let stack = public_endpoint(&app, (views, hub.clone()), readiness.clone(), &port);
    tokio::join!(port.serve(listener, stack), figures, end_of_streams);
    background.stop().await;
    app.close().await;
}

/// Work beside the requests. It goes on until the last request is answered, since tokens are
/// revoked and questions close meanwhile.
#[derive(Default)]
struct Background {
    tasks: TaskTracker,
    done: CancellationToken,
}

impl Background {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let done = self.done.clone();
        self.tasks.spawn(done.run_until_cancelled_owned(work));
    }

    async fn stop(self) {
        self.tasks.close();
        self.done.cancel();
        self.tasks.wait().await;
    }
}

/// What serves one port: the public one, or the operator's. Each counts its clients by itself.
struct Port<'a> {
    config: &'a Config,
    admission: Admission,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Port<'_> {
    fn new<'a>(app: &'a App, stop: &CancellationToken) -> Port<'a> {
        Port {
            config: &app.config,
            admission: Admission::new(&app.config),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        }
    }

    /// The stack around `endpoint`, whose paths are in `routes`.
    fn stack(
        &self,
        endpoint: Arc<dyn DynEndpoint<Output = poem::Response>>,
        routes: http::Routes,
        app: &App,
    ) -> Stack {
        let (admission, tasks) = (self.admission.clone(), self.tasks.clone());
        let rates = Rates::new(&self.config.limits, app.share.clone());
        let clock = app.clock.clone();
        Stack::new(
            endpoint,
            self.config,
            routes,
            admission,
            rates,
            clock,
            tasks,
        )
    }

    async fn serve(self, listener: Listener, stack: Stack) {
        let Port {
            config,
            admission,
            stop,
            tasks,
        } = self;
        http::serve(listener, stack, admission, &config.http, stop, tasks).await;
    }
}

/// Everything that the public is served.
fn public_endpoint(
    app: &App,
    (views, hub): (Views, Hub),
    readiness: Readiness,
    port: &Port<'_>,
) -> Stack {
    let api = api(app, views.clone(), hub, port.tasks.clone());
    let Description {
        document,
        operations,
    } = describe();
    let check = move || {
        let readiness = readiness.clone();
        async move { readiness_for_all(&readiness).await }
    };
    let document = spec::served(document, &app.config.server);
    let site = auth::api::add_well_known(Site::default(), &app.config);
    let site = spec::add(site, &document, app.config.http.compression);
    let site = health::add(site, check, port.stop.clone());
    let site = security_txt::add(site, &app.config.server, &app.clock);
    let site = web::add(site, &app.config, views);
    let (router, routes) = site.into_parts(operations);
    // In one piece: it is cloned for every request.
    let tokens = Arc::new(app.tokens.clone());
    let endpoint = http::Split::new(api, router, tokens);
    port.stack(Arc::new(endpoint), routes, app)
}

/// Everything that only the operator is served.
fn operators_endpoint(app: &App, readiness: Readiness, metrics: Metrics, port: &Port<'_>) -> Stack {
    let check = move || {
        let readiness = readiness.clone();
        async move { readiness_for_operators(&readiness).await }
    };
    let site = health::add(Site::default(), check, port.stop.clone());
    let (router, routes) = http::metrics::add(site, metrics).into_parts([]);
    port.stack(Arc::new(ToDynEndpoint(router)), routes, app)
}

/// Whether requests can be answered, and what is told of it. The public port does not tell why
/// not.
async fn readiness_for_all(readiness: &Readiness) -> Result<Value, Failure> {
    match readiness.report().await.is_ready() {
        true => Ok(json!({"status": "ok"})),
        false => Err(Failure::overloaded(
            "This process cannot take requests now. Its log tells why.",
        )),
    }
}

/// The same for the operator, who sees the reasons.
async fn readiness_for_operators(readiness: &Readiness) -> Result<Value, Failure> {
    let report = readiness.report().await;
    match report.is_ready() {
        true => Ok(report.details()),
        false => Err(Failure::overloaded(report.details().to_string())),
    }
}

/// Says what is missing where others than this machine can reach the server, and nothing tells by
/// which address they do, or through which proxies.
fn warn_of_unknown_address(server: &config::Server) {
    let local = server.path.is_some() || server.host.is_loopback();
    if !local && server.public_url.is_none() && server.trusted_proxies.is_empty() {
        tracing::warn!(
            host = %server.host,
            "other machines can reach this server, and neither server.public_url nor \
             server.trusted_proxies is set. Set server.public_url to the address that clients use; \
             if they come through a proxy, name it in server.trusted_proxies, or limits take all \
             of them for one client"
        );
    }
}

/// Says where everything is.
#[expect(clippy::print_stdout, reason = "for the operator, who reads it there")]
fn greet(app: &App, listener: &Listener, figures: Option<&Listener>) {
    let address = listener.address();
    println!("polls {} is ready", env!("CARGO_PKG_VERSION"));
    if app.config.web.enabled {
        println!("  Web page    {address}/");
    }
    println!("  API         {address}{API}");
    if app.config.http.docs {
        println!("  Swagger UI  {address}/docs");
    }
    println!("  OpenAPI     {address}/openapi.json");
    if let Some(figures) = figures {
        println!("  Metrics     {}/metrics", figures.address());
    }
    let hosts = app.config.database.urls();
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    println!("  Database    {}", hosts.join(", "));
}
