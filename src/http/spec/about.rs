//! What the document says about the API as a whole.

use serde_json::{Value, json};

use crate::failure::Code;
use crate::http::API;

/// The version that generators cope with best.
pub(super) const OPENAPI: &str = "3.0.3";

const DESCRIPTION: &str = "\
An API for polls: people ask questions, others vote, everyone whom the author lets sees what it \
comes to.

# Signing in
`POST /users` registers an account. `POST /auth/token` is an OAuth 2.0 token endpoint: it takes \
`grant_type=password` with an email address or phone number as `username`, and answers with an \
access token and a refresh token. Send the access token as `Authorization: Bearer …`. It is good \
for some minutes; `grant_type=refresh_token` gets the next. `POST /auth/guest` makes a guest, who votes \
without an account and may do little else. Many calls can be made without a \
token, but a token that is not valid is refused everywhere, never ignored.

# Requests
Bodies are JSON in UTF-8, and nothing is coerced: `12345` is not a string. Fields and query \
parameters that a call does not know are refused. Ids are UUIDs. Times are RFC 3339, of the years 1 \
to 9999; any offset is taken, and answers are in UTC. `PATCH` merges (RFC 7396): what is absent \
stays, and `null` clears; its body may be called `application/merge-patch+json` as well. \
In answers, what has no value is left out and never `null`.

# Errors
Every failure is `application/problem+json` (RFC 9457). Switch on `code`, which never changes its \
meaning; show `title` and `detail` to people; and quote `request_id`, which is also in the \
`X-Request-Id` header, to the operator. `type` leads to a page of this server that explains the \
code. With 422, `errors` names every field that is missing, not known, of the wrong type or beyond \
a limit, by a JSON pointer and in the order of the schema; rules that concern several fields are \
checked once each has the form of the schema. The one exception is a failed grant at `/auth/token`, which is answered as RFC 6749, section 5.2, says.

Whatever the call, a method that an address does not have is 405, with `Allow`, and an address \
that does not exist is 404.

# Pages
Lists answer with `data` and `meta`. While `meta.next_cursor` is there, send it as `cursor`, with \
the same other parameters, for the next page. What is added meanwhile causes neither gaps nor \
repeats.

# Versions of a resource
Single resources carry an `ETag`. With `If-None-Match`, a `GET` of what you have already is a 304 \
without a body. With `If-Match`, a change of what somebody else has changed meanwhile is 412 \
`stale`, and nothing happens.

# Sending again
A `PUT`, a `PATCH`, or a `DELETE` may be sent again when its answer was lost. A ballot above all: \
the same one again succeeds, whatever has become of the question, and is counted once. After a \
429 or 503, wait as long as `Retry-After` says. What happens when a `POST` is sent twice, its \
description says.

# Secrecy of ballots
`ballot_secrecy` of a question says who can find out how somebody voted. `secret`: through the API \
nobody but the voter; the operator's database has it. `public`: whoever may see the results. \
`anonymous`: after the close nobody, not even with the database in hand; while people vote the \
operator can, and so can old backups and logs of the database. Nobody sees numbers of an anonymous \
question before its close, and it cannot be reopened. Its voters draw a `receipt` each, 128 bits from \
a cryptographic generator; after the close `listReceipts` shows every ballot under its receipt, so \
that voters find theirs, and can prove to others how they voted. \
[Who can find out how somebody voted](/docs/secrecy) says plainly what each of the three promises, \
and what it does not.

# Beside the API
`/healthz` answers 200 while the process is alive, `/readyz` while it can take requests, else 503. \
`/openapi.json` and `/openapi.yaml` are this document, `/problems` explains every code, and \
`/.well-known/oauth-authorization-server` has the addresses of the token endpoint.

# What may change
Clients must bear with new operations, new optional fields in requests, new fields in answers, and \
new codes of problems. Versions follow Semantic Versioning. Before 1.0 a minor version may break \
clients, and the changelog says under \"Breaking\" how. From 1.0 on, only a major version may: it \
gets an address of its own beside `/api/v1`, and what is to go is marked `deprecated` in this \
document for at least one minor version before.";

pub(super) fn info() -> Value {
    json!({
        "title": "polls",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
        "contact": {"name": "The operator of this server"},
        "license": {"name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/"},
    })
}

/// Paths are relative to the server, whatever its host is called.
pub(super) fn servers() -> Value {
    json!([{"url": API, "description": "This server"}])
}

/// The headers that answers refer to, by component name.
pub(super) fn headers() -> Value {
    json!({
        "AcceptEncoding": {
            "description": "`identity`, where the body came with a content encoding.",
            "schema": {"type": "string", "enum": ["identity"]},
        },
        "ETag": {
            "description": "Names this state of the resource, for `If-None-Match` and `If-Match`.",
            "required": true,
            "schema": {"type": "string", "example": ETAG},
        },
        "Location": {
            "description": "The path of what was created.",
            "required": true,
            "schema": {
                "type": "string",
                "format": "uri-reference",
                "example": "/api/v1/questions/01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f",
            },
        },
        "RateLimit": {
            "description": "What is left of the quota (`r`), and for how many seconds (`t`).",
            "schema": {"type": "string", "example": "\"sign-in\";r=0;t=540"},
        },
        "RateLimitPolicy": {
            "description": "The quota (`q`) and its window in seconds (`w`).",
            "schema": {"type": "string", "example": "\"sign-in\";q=10;w=900"},
        },
        "RequestId": {
            "description": "The request's `X-Request-Id`, or one that was made for it. The \
                            server's log has it.",
            "required": true,
            "schema": {"type": "string", "example": UUID},
        },
        "RetryAfter": {
            "description": "After how many seconds to try again.",
            "required": true,
            "schema": {"type": "integer", "minimum": 1, "example": 1},
        },
        "WwwAuthenticate": {
            "description": "`Bearer`, with `error=\"invalid_token\"` where a token was sent.",
            "required": true,
            "schema": {"type": "string", "example": "Bearer realm=\"polls\""},
        },
    })
}

/// The component in [`headers`] for a header's name.
pub(super) fn header_component(name: &str) -> Option<&'static str> {
    const COMPONENTS: [(&str, &str); 8] = [
        ("Accept-Encoding", "AcceptEncoding"),
        ("ETag", "ETag"),
        ("Location", "Location"),
        ("RateLimit", "RateLimit"),
        ("RateLimit-Policy", "RateLimitPolicy"),
        ("X-Request-Id", "RequestId"),
        ("Retry-After", "RetryAfter"),
        ("WWW-Authenticate", "WwwAuthenticate"),
    ];
    let known = COMPONENTS.iter().find(|(header, _)| *header == name);
    known.map(|(_, component)| *component)
}

/// The parameters that calls refer to, by component name.
pub(super) fn parameters() -> Value {
    json!({
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` that you have. Where it is still current, the answer is 304.",
            "required": false,
            "schema": {"type": "string"},
            "example": ETAG,
        },
    })
}

/// The schema of a problem's `code`, so that clients can switch on a type of their own.
pub(super) fn problem_code() -> Value {
    let names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    let meanings: Vec<_> = Code::ALL
        .iter()
        .map(|code| format!("- `{}` ({}): {}", code.name(), code.status(), code.title()))
        .collect();
    json!({
        "type": "string",
        "description": format!("The kind of a failure, with its status.\n\n{}", meanings.join("\n")),
        "enum": names,
    })
}

/// What a problem of this kind may look like.
pub(super) fn problem(code: Code) -> Value {
    let explanation = code.explanation();
    let detail = match explanation.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => explanation.to_owned(),
    };
    let mut problem = json!({
        "type": format!("/problems/{}", code.name()),
        "title": code.title(),
        "status": code.status(),
        "code": code.name(),
        "detail": detail,
        "request_id": UUID,
    });
    if code == Code::InvalidFields {
        problem["detail"] = json!("One field is not valid.");
        problem["errors"] = json!([{
            "pointer": "/choices/0/choice_text",
            "code": "length",
            "message": "must have 1 to 200 characters",
        }]);
    }
    problem
}

/// An id as it may be.
pub(super) const UUID: &str = "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f";

const ETAG: &str = "\"3.1p2o3i4u5y6t7r8e\"";
