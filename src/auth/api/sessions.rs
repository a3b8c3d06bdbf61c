//! Sessions: where an account is signed in, and ending that.

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use uuid::Uuid;

use crate::auth::guard::Voter;
use crate::auth::tokens::session;
use crate::auth::{SignedIn, Tokens};
use crate::clock::Time;
use crate::http::policy::{Links, operations};
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Done};
use crate::http::spec::Tag;
use crate::page::{PageMeta, Paging};
use crate::rendered::Rendered;

/// The handlers of sessions.
pub struct SessionsApi {
    pub tokens: Tokens,
}

operations! {
    ListSessions: MalformedRequest => {
        links: Some(Links {
            status: 200,
            parameters: &[("session_id", "$response.body#/data/0/id")],
        }),
    };
    EndSession: NotFound;
    EndAllSessions: Unauthenticated;
}

#[OpenApi]
impl SessionsApi {
    /// List where I am signed in
    ///
    /// The sessions of this account that have neither ended nor expired, newest first.
    #[oai(path = "/auth/sessions", method = "get", operation_id = "listSessions", tag = Tag::Auth)]
    async fn list_sessions(
        &self,
        voter: Voter,
        page: Paging,
    ) -> Result<Answered<SessionPage>, Refused<ListSessions>> {
        let signed_in = voter.0;
        let scope = format!("sessions of {}", signed_in.caller.id);
        let request = page.of(&scope)?;
        let sessions = self.tokens.sessions(&signed_in, request).await?;
        let page = SessionPage {
            data: sessions
                .items
                .into_iter()
                .map(|row| Session::of(row, &signed_in))
                .collect(),
            meta: PageMeta::new(sessions.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Sign out somewhere
    ///
    /// Ends one session of this account, be it this one. Its tokens stop working at once on this
    /// process and within a second on others.
    #[oai(path = "/auth/sessions/:session_id", method = "delete", operation_id = "endSession", tag = Tag::Auth)]
    async fn end_session(
        &self,
        voter: Voter,
        /// The session's id.
        session_id: Path<Uuid>,
    ) -> Result<Done, Refused<EndSession>> {
        self.tokens.end_session(&voter.0, session_id.0).await?;
        Ok(Done)
    }

    /// Sign out everywhere
    ///
    /// Ends all sessions of this account, this one too. A guest cannot sign in again.
    #[oai(path = "/auth/sessions", method = "delete", operation_id = "endAllSessions", tag = Tag::Auth)]
    async fn end_all_sessions(&self, voter: Voter) -> Result<Done, Refused<EndAllSessions>> {
        self.tokens.end_all_sessions(&voter.0).await?;
        Ok(Done)
    }
}

/// A page of sessions.
#[derive(Object, Serialize)]
#[oai(example)]
struct SessionPage {
    /// The sessions of this page, newest first.
    data: Vec<Session>,
    meta: PageMeta,
}

impl Example for SessionPage {
    fn example() -> Self {
        SessionPage {
            data: vec![Session::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

/// Where an account is signed in.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct Session {
    /// The session's id.
    id: Uuid,
    /// What the client called itself when it signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// Whether it is the one that this request belongs to.
    current: bool,
    /// When it began.
    created_at: Time,
    /// When it last got new tokens.
    last_used_at: Time,
    /// When it ends unless it is used before.
    expires_at: Time,
}

impl Session {
    fn of(row: session::Model, signed_in: &SignedIn) -> Session {
        Session {
            id: row.id,
            client: row.client,
            current: row.id == signed_in.session_id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }
    }
}

impl Example for Session {
    fn example() -> Self {
        let created_at = Time(1_776_282_436_000_000);
        Session {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            client: Some("Mozilla/5.0 (X11; Linux x86_64)".into()),
            current: true,
            created_at,
            last_used_at: created_at,
            expires_at: Time(1_778_874_436_000_000),
        }
    }
}
