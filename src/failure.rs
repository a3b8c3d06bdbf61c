//! Why a request cannot be done: the whole vocabulary, in one place.
//!
//! Verbs return a [`Failure`]; `http::problem` turns it into an RFC 9457 answer. The [`Code`] is
//! what programs switch on, so a code never changes its meaning.

use std::borrow::Cow;
use std::time::Duration;

use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

/// A stable name for a kind of failure, with its HTTP status and explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    MalformedRequest,
    Unauthenticated,
    Forbidden,
    ResultsHidden,
    NotEligible,
    AddressUnknown,
    EmailUnverified,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    AccountTaken,
    InvitedGuest,
    VotingNotOpen,
    VotingClosed,
    VotingOpen,
    AlreadyVoted,
    AddressLimit,
    ReceiptTaken,
    BallotFinal,
    HasBallots,
    Reopened,
    TooFewBallots,
    BallotsNotPublic,
    FormatUnavailable,
    LotDrawn,
    NoInvitations,
    InvitationFinal,
    AnonymousBallots,
    QuotaExceeded,
    LastAdmin,
    MailNotConfigured,
    Stale,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidFields,
    RateLimited,
    Internal,
    Overloaded,
    OutcomeUnknown,
    ShuttingDown,
}

impl Code {
    /// Every code, by status.
    pub const ALL: [Code; 41] = [
        Code::MalformedRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::ResultsHidden,
        Code::NotEligible,
        Code::AddressUnknown,
        Code::EmailUnverified,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::NotAcceptable,
        Code::RequestTimeout,
        Code::AccountTaken,
        Code::InvitedGuest,
        Code::VotingNotOpen,
        Code::VotingClosed,
        Code::VotingOpen,
        Code::AlreadyVoted,
        Code::AddressLimit,
        Code::ReceiptTaken,
        Code::BallotFinal,
        Code::HasBallots,
        Code::Reopened,
        Code::TooFewBallots,
        Code::BallotsNotPublic,
        Code::FormatUnavailable,
        Code::LotDrawn,
        Code::NoInvitations,
        Code::InvitationFinal,
        Code::AnonymousBallots,
        Code::QuotaExceeded,
        Code::LastAdmin,
        Code::MailNotConfigured,
        Code::Stale,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::InvalidFields,
        Code::RateLimited,
        Code::Internal,
        Code::Overloaded,
        Code::OutcomeUnknown,
        Code::ShuttingDown,
    ];

    /// Status, name, title and explanation.
    const fn entry(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Code::MalformedRequest => (
                400,
                "malformed_request",
                "The request is malformed",
                "The body is not valid JSON, or an id in the path, a query parameter or a cursor cannot be understood. `detail` says which. Sending the same request again fails again.",
            ),
            Code::Unauthenticated => (
                401,
                "unauthenticated",
                "Sign in first",
                "The call needs an access token, or the one that was sent is not valid, has expired or was revoked. Get a new one from `POST /api/v1/auth/token` and send it as `Authorization: Bearer …`.",
            ),
            Code::Forbidden => (
                403,
                "forbidden",
                "Not allowed",
                "You are signed in, but may not do that. Questions are changed by their author or an admin, and guests may only vote.",
            ),
            Code::ResultsHidden => (
                403,
                "results_hidden",
                "The results are not visible yet",
                "The question's `results_visibility` hides its numbers from you for now: until you have voted, until it closes, or from everyone but its author. With anonymous ballots everyone sees them only once they are final.",
            ),
            Code::NotEligible => (
                403,
                "not_eligible",
                "You may not vote on this question",
                "The question's `electorate` is not for you: it wants an account rather than a guest, a verified email address, or an invitation. `detail` says what would let you vote.",
            ),
            Code::AddressUnknown => (
                403,
                "address_unknown",
                "Your network address is not known",
                "The question takes only so many ballots of guests from one network address (`ballots_per_address`), and the proxy in front of the server does not say where your request came from. Tell the operator, or vote with an account.",
            ),
            Code::EmailUnverified => (
                403,
                "email_unverified",
                "Verify your email address first",
                "Only accounts with a verified email address may do this. `POST /api/v1/users/me/email-verification` sends a code.",
            ),
            Code::NotFound => (
                404,
                "not_found",
                "Not found",
                "There is nothing here, or nothing that you may know of. Check the address and the id.",
            ),
            Code::MethodNotAllowed => (
                405,
                "method_not_allowed",
                "Method not allowed",
                "The address exists, but not for this method. The `Allow` header lists the methods that it has.",
            ),
            Code::NotAcceptable => (
                406,
                "not_acceptable",
                "Not acceptable",
                "The `Accept` header allows no form in which this server can answer. The API answers in `application/json`, and errors in `application/problem+json`.",
            ),
            Code::RequestTimeout => (
                408,
                "request_timeout",
                "The request took too long to arrive",
                "The body was not received in time. Send it again over a better connection.",
            ),
            Code::AccountTaken => (
                409,
                "account_taken",
                "The account exists already",
                "Another account has this email address or phone number. Sign in, or use another one.",
            ),
            Code::InvitedGuest => (
                409,
                "invited_guest",
                "An invited guest stays a guest",
                "The guest belongs to an invitation: whoever has its code has its vote, so it cannot become the account of one of them. Register without the guest's token.",
            ),
            Code::VotingNotOpen => (
                409,
                "voting_not_open",
                "Voting has not opened yet",
                "The question's `opens_at` lies in the future. Ballots are accepted from then on.",
            ),
            Code::VotingClosed => (
                409,
                "voting_closed",
                "Voting has closed",
                "The question was closed, or its `closes_at` has passed. Ballots are no longer accepted, changed or withdrawn, and the choices stay as they are.",
            ),
            Code::VotingOpen => (
                409,
                "voting_open",
                "Voting has not ended yet",
                "This is shown once voting has ended and every ballot is counted (`is_final` of the results). Shown before, it would tell how somebody votes.",
            ),
            Code::AlreadyVoted => (
                409,
                "already_voted",
                "You have already voted",
                "The question does not allow a ballot to be changed (`allow_change` is false), and yours is already cast. `GET` the ballot to see it.",
            ),
            Code::AddressLimit => (
                409,
                "address_limit",
                "Your network address has voted often enough",
                "The question takes only so many ballots of guests from one network address (`ballots_per_address`), and others who share yours have cast them. A withdrawn ballot does not make room. Vote from another network, or ask the author.",
            ),
            Code::ReceiptTaken => (
                409,
                "receipt_taken",
                "Another ballot has this receipt",
                "The `receipt` of an anonymous ballot must be new: 128 bits from a cryptographic random number generator. Nothing of this ballot was kept. Draw another receipt and vote again.",
            ),
            Code::BallotFinal => (
                409,
                "ballot_final",
                "Ballots are final",
                "The question does not allow a ballot to be withdrawn (`allow_change` is false).",
            ),
            Code::HasBallots => (
                409,
                "has_ballots",
                "People have voted already",
                "What people have voted on cannot be changed any more. `description`, `closes_at`, `listed`, the order of the choices and further choices still can.",
            ),
            Code::Reopened => (
                409,
                "reopened",
                "Voting went on after a close",
                "Who has voted is not shown for this question, because voting on it was reopened: the results before and after, beside the list, would tell how somebody voted.",
            ),
            Code::TooFewBallots => (
                409,
                "too_few_ballots",
                "Too few people have voted",
                "Who has voted is shown from 10 ballots on: beside fewer, the results would nearly tell who voted how.",
            ),
            Code::BallotsNotPublic => (
                409,
                "ballots_not_public",
                "The ballots are not public",
                "Only questions whose `ballot_secrecy` is `public` show who voted how.",
            ),
            Code::FormatUnavailable => (
                409,
                "format_unavailable",
                "The format has no room for these ballots",
                "Files of the format that was asked for cannot have the ballots of this question. `detail` says why, and which formats can.",
            ),
            Code::LotDrawn => (
                409,
                "lot_drawn",
                "The lot has been drawn",
                "The result of this question was decided by lot, and the lot is known. Voting cannot go on, or one could draw again until one likes the result. Ask a new question.",
            ),
            Code::NoInvitations => (
                409,
                "no_invitations",
                "The question takes no invitations",
                "Invitations are for questions whose `electorate` is `invited`. The author can change the electorate while nobody has voted.",
            ),
            Code::InvitationFinal => (
                409,
                "invitation_final",
                "The invitation cannot be taken back",
                "The invitation was used, or the question has anonymous ballots and voting has opened: then it would tell whether it was used.",
            ),
            Code::AnonymousBallots => (
                409,
                "anonymous_ballots",
                "The ballots are anonymous",
                "A question with anonymous ballots stays closed: its numbers are known, and the next numbers would tell what those vote who vote then. Ask a new question.",
            ),
            Code::QuotaExceeded => (
                409,
                "quota_exceeded",
                "The quota is used up",
                "An account may ask so many questions and send so many invitations by mail in a day (UTC), all its questions, choices and invitations together may have so much text, and a question may have so many invitations. `detail` says which of these is used up, and when or how more is possible.",
            ),
            Code::LastAdmin => (
                409,
                "last_admin",
                "The last admin must stay",
                "There would be no active admin left. Make somebody else an admin first.",
            ),
            Code::MailNotConfigured => (
                409,
                "mail_not_configured",
                "This server sends no mail",
                "The call needs a mail server, and the operator has configured none. `features` in `/.well-known/oauth-authorization-server` has `mail` where there is one.",
            ),
            Code::Stale => (
                412,
                "stale",
                "It has changed meanwhile",
                "The `If-Match` header names an earlier version. Get the current one, look at what changed, and try again.",
            ),
            Code::PayloadTooLarge => (
                413,
                "payload_too_large",
                "The body is too large",
                "The request body is larger than this call accepts. `detail` gives the limit.",
            ),
            Code::UnsupportedMediaType => (
                415,
                "unsupported_media_type",
                "Unsupported media type",
                "The body must be `application/json`, or `application/x-www-form-urlencoded` at the token and revocation endpoints, in UTF-8 and without a content encoding.",
            ),
            Code::InvalidFields => (
                422,
                "invalid_fields",
                "Some fields are not valid",
                "The body is well-formed, but some values are not acceptable. `errors` lists each with a JSON pointer to it, a code and what is allowed.",
            ),
            Code::RateLimited => (
                429,
                "rate_limited",
                "Too many attempts",
                "Wait for as many seconds as the `Retry-After` header says, then try again.",
            ),
            Code::Internal => (
                500,
                "internal",
                "Something went wrong here",
                "The server failed; the request was not at fault. Tell the operator the `request_id`, under which the log has the cause.",
            ),
            Code::Overloaded => (
                503,
                "overloaded",
                "The server is overloaded",
                "The server or its database cannot take the request now, and nothing was done. Try again after `Retry-After` seconds.",
            ),
            Code::OutcomeUnknown => (
                503,
                "outcome_unknown",
                "It is not known whether this was done",
                "The connection to the database was lost while the change was being committed. Sending the same `PUT` or `DELETE` again is safe and tells you.",
            ),
            Code::ShuttingDown => (
                503,
                "shutting_down",
                "The server is shutting down",
                "This process is stopping, and nothing was done. Try again; another process, or the restarted one, will answer.",
            ),
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.entry().0
    }

    /// The name in `code` and in `/problems/{code}`.
    pub const fn name(self) -> &'static str {
        self.entry().1
    }

    /// A short summary, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        self.entry().2
    }

    /// What it means and what to do about it, in Markdown.
    pub const fn explanation(self) -> &'static str {
        self.entry().3
    }
}

/// The rule that a field breaks; never changes its meaning, and further rules may be added.
///
/// - `required`, `type`, `unknown_field`, `duplicate_field`: the body does not have the form of its
///   schema.
/// - `length`, `range`: more or less than a limit.
/// - `choice`, `unique`: none of those there are, or twice the same.
/// - `order`, `past`: a time before another one, or before now.
/// - `control_character`, `invisible`, `open_direction`: text with characters that it must not
///   have, without any that can be seen, or with a writing direction that does not end.
/// - `method`: not for the voting method of the question.
/// - `conflict`: contradicts another field, or what was promised.
/// - `email`, `phone`: no such address or number.
/// - `common_password`, `contains_account`: a password that is easily guessed, or that is made of
///   what is known of the account.
/// - `wrong`: a password, code or token that is not the account's, or is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, Serialize, Deserialize)]
#[oai(rename = "ProblemFieldCode", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Required,
    Type,
    UnknownField,
    DuplicateField,
    Length,
    Range,
    Choice,
    Unique,
    Order,
    Past,
    Method,
    Conflict,
    ControlCharacter,
    Invisible,
    OpenDirection,
    Email,
    Phone,
    CommonPassword,
    ContainsAccount,
    Wrong,
}

/// One field that is not acceptable. Never holds the value that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// An RFC 6901 JSON pointer into the body, such as `/choices/0/choice_text`; empty for all of it.
    pub pointer: String,
    pub code: Rule,
    /// What is allowed, as the end of a sentence that begins with the field: "must have …".
    pub message: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: Rule, message: impl Into<String>) -> Self {
        FieldError {
            pointer: pointer.into(),
            code,
            message: message.into(),
        }
    }
}

/// How many mistakes one answer names. No body that is meant well has more.
pub const MOST_ERRORS: usize = 300;

/// The state of a rate limit, as the RateLimit header fields tell it
/// (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The policy's name.
    pub policy: &'static str,
    /// How many attempts are allowed in a window.
    pub quota: u32,
    /// The window's length.
    pub window: Duration,
    /// How many attempts are left.
    pub remaining: u32,
    /// How long until the next attempt is allowed.
    pub reset: Duration,
}

/// Why a call failed: the code, a description for people, and the cause for the log.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct Failure {
    pub code: Code,
    /// What happened this time, for people. It says no more than the caller may know.
    pub detail: Cow<'static, str>,
    /// Field by field, with [`Code::InvalidFields`] only.
    pub errors: Vec<FieldError>,
    /// After how long another attempt makes sense.
    pub retry_after: Option<Duration>,
    /// With [`Code::RateLimited`] only.
    pub limit: Option<RateLimit>,
    /// For the log only; never sent.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Failure {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            limit: None,
            source: None,
        }
    }

    /// [`Code::NotFound`]: there is no such thing, or the caller must not know of it.
    pub fn not_found(what: &str) -> Self {
        Failure::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// [`Code::InvalidFields`]; `errors` must not be empty. The first [`MOST_ERRORS`] are named.
    pub fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MOST_ERRORS);
        let detail = match errors.as_slice() {
            [_] => "One field is not valid.".to_owned(),
            all => format!("{} fields are not valid.", all.len()),
        };
        Failure {
            errors,
            ..Failure::new(Code::InvalidFields, detail)
        }
    }

    /// [`Code::Internal`]. The cause goes to the log only.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Failure {
            source: Some(cause.into()),
            ..Failure::new(Code::Internal, "The server could not do this.")
        }
    }

    /// [`Code::Overloaded`]: nothing was done.
    pub fn overloaded(detail: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1))
    }

    /// [`Code::RateLimited`]: the call exceeds this limit.
    pub fn rate_limited(limit: RateLimit) -> Self {
        let seconds = limit.reset.as_millis().div_ceil(1000);
        let detail = format!(
            "More than the limit of {} allows. The next is allowed in {seconds} s.",
            limit.policy
        );
        let failure = Failure::new(Code::RateLimited, detail).retry_after(limit.reset);
        let limit = Some(limit);
        Failure { limit, ..failure }
    }

    /// A failure of a read after a change was committed: a status of 5xx would tell the client that
    /// nothing was done, so such a failure becomes [`Code::OutcomeUnknown`].
    pub fn although_done(self) -> Self {
        if self.code.status() < 500 {
            return self;
        }
        let detail = "It was done, but what came of it could not be read.";
        Failure::new(Code::OutcomeUnknown, detail)
            .retry_after(Duration::from_secs(1))
            .caused_by(self)
    }

    /// A copy for another waiter, without the cause, which is logged once.
    pub fn again(&self) -> Self {
        Failure {
            code: self.code,
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            retry_after: self.retry_after,
            limit: self.limit,
            source: None,
        }
    }

    /// Replaces the description for people.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_codes_are_listed_by_status() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    }
}
