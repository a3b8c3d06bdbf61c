//! axum + sqlx, one transaction a ballot. Environment: DATABASE_URL, JWT_SECRET, PORT.

mod objects;
mod store;

use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::{Argon2, PasswordHash};
use axum::extract::{FromRef, FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use objects::{Ballot, Credentials, ListQuery, NewBallot, Question, QuestionPage, Results, Tokens};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::Store;
use tokio::sync::Semaphore;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

struct App<S> {
    store: S,
    keys: Arc<Keys>,
    /// As many passwords at once as there are cores: each takes 19 MiB.
    hashing: Arc<Semaphore>,
}

impl<S: Clone> Clone for App<S> {
    fn clone(&self) -> Self {
        App {
            store: self.store.clone(),
            keys: self.keys.clone(),
            hashing: self.hashing.clone(),
        }
    }
}

impl<S> FromRef<App<S>> for Arc<Keys> {
    fn from_ref(app: &App<S>) -> Self {
        app.keys.clone()
    }
}

/// An answer that is no success.
pub enum Refused {
    Status(StatusCode),
    Internal(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused::Internal(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Refused::Status(status) => status,
            Refused::Internal(error) => {
                eprintln!("{error:?}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(json!({"status": status.as_u16()}))).into_response()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    iat: i64,
    exp: i64,
}

struct SignedIn(Uuid);

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    Arc<Keys>: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let keys = Arc::<Keys>::from_ref(state);
        let header = parts.headers.get(AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(Refused::Status(StatusCode::UNAUTHORIZED))?;
        let token = jsonwebtoken::decode::<Claims>(token, &keys.decoding, &keys.validation);
        let token = token.map_err(|_| Refused::Status(StatusCode::UNAUTHORIZED))?;
        Ok(SignedIn(token.claims.sub))
    }
}

async fn read_question<S: Store>(
    State(app): State<App<S>>,
    Path(id): Path<Uuid>,
) -> Result<Json<Question>, Refused> {
    let found = app.store.question(id).await?;
    found
        .map(Json)
        .ok_or(Refused::Status(StatusCode::NOT_FOUND))
}

async fn list_questions<S: Store>(
    State(app): State<App<S>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<QuestionPage>, Refused> {
    let data = app.store.newest(query.limit.clamp(1, 100)).await?;
    Ok(Json(QuestionPage {
        data,
        meta: json!({}),
    }))
}

async fn vote<S: Store>(
    State(app): State<App<S>>,
    SignedIn(user): SignedIn,
    Path(question): Path<Uuid>,
    Json(ballot): Json<NewBallot>,
) -> Result<(StatusCode, Json<Ballot>), Refused> {
    let [choice] = ballot.choice_ids[..] else {
        return Err(Refused::Status(StatusCode::UNPROCESSABLE_ENTITY));
    };
    let now = Utc::now();
    let first = app.store.vote(question, user, choice, now).await?;
    let voted = app.store.question(question).await?;
    let voted = voted.ok_or(Refused::Status(StatusCode::NOT_FOUND))?;
    let status = if first {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        Json(Ballot {
            question_id: question,
            choice_ids: vec![choice],
            cast_at: now,
            updated_at: now,
            results: Results::of(&voted),
        }),
    ))
}

async fn sign_in<S: Store>(
    State(app): State<App<S>>,
    Form(form): Form<Credentials>,
) -> Result<Response, Refused> {
    let refused = || {
        let body = Json(json!({"error": "invalid_grant"}));
        Ok((StatusCode::BAD_REQUEST, body).into_response())
    };
    let Some((user, hash)) = app.store.account(&form.username).await? else {
        return refused();
    };
    let permit = app.hashing.clone().acquire_owned().await?;
    let matches = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let hash = PasswordHash::new(&hash).ok()?;
        Argon2::default()
            .verify_password(form.password.as_bytes(), &hash)
            .ok()
    });
    if form.grant_type != "password" || matches.await?.is_none() {
        return refused();
    }
    let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let hash: String = Sha256::digest(&refresh_token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let now = Utc::now();
    app.store
        .remember(&hash, user, now + TimeDelta::days(30))
        .await?;
    let claims = Claims {
        iss: "polls".to_owned(),
        aud: "polls".to_owned(),
        sub: user,
        iat: now.timestamp(),
        exp: now.timestamp() + 900,
    };
    let access_token = jsonwebtoken::encode(&Header::default(), &claims, &app.keys.encoding)?;
    let tokens = Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: 900,
        refresh_token,
    };
    Ok(Json(tokens).into_response())
}

async fn serve<S: Store>(store: S) -> anyhow::Result<()> {
    let secret = std::env::var("JWT_SECRET")?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["polls"]);
    validation.set_audience(&["polls"]);
    let keys = Arc::new(Keys {
        encoding: EncodingKey::from_secret(secret.as_bytes()),
        decoding: DecodingKey::from_secret(secret.as_bytes()),
        validation,
    });
    let router = Router::new()
        .route("/healthz", get(async || Json(json!({"status": "ok"}))))
        .route("/api/v1/questions", get(list_questions::<S>))
        .route("/api/v1/questions/{id}", get(read_question::<S>))
        .route("/api/v1/questions/{id}/ballot", put(vote::<S>))
        .route("/api/v1/auth/token", post(sign_in::<S>))
        .with_state(App {
            store,
            keys,
            hashing: Arc::new(Semaphore::new(std::thread::available_parallelism()?.get())),
        });
    let port: u16 = std::env::var("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    use axum::serve::ListenerExt as _;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    if url.starts_with("sqlite:") {
        serve(store::sqlite::Pool::open(&url).await?).await
    } else if url.starts_with("postgres:") {
        serve(store::postgres::Pool::open(&url).await?).await
    } else {
        serve(store::mariadb::Pool::open(&url).await?).await
    }
}
