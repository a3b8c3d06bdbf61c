//! `/questions/{id}/ballot`, and what is shown of those who have voted.

mod roll;

use std::collections::BTreeSet;

use poem_openapi::param::{Path, Query};
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::anonymous::{Receipt, ReceiptDigits};
use super::mine::Which;
use super::receipts::ReceiptPage;
use super::{Ballot, Ballots, Cast, Paper, Score, not_found};
use crate::auth::guard::{MaybeSignedIn, Voter};
use crate::clock::{Clock, Time};
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::http::API;
use crate::http::body::Body;
use crate::http::policy::{Links, operations};
use crate::http::rates::Kind;
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Changed, Created, Done, Fetched, Put};
use crate::http::spec::Tag;
use crate::input::{exact, present};
use crate::network::Network;
use crate::page::{Page, PageMeta, Paging};
use crate::questions::{Electorate, Question, Status};
use crate::rendered::Rendered;
use crate::results::{BallotResults, Views, are_visible, hidden};
use crate::users::Caller;

pub use roll::RollApi;

/// The handlers of ballots.
pub struct BallotsApi {
    pub ballots: Ballots,
    pub views: Views,
    pub clock: Clock,
}

/// Your ballot on a question.
#[derive(Debug, Object)]
#[oai(rename = "Ballot", skip_serializing_if_is_none, example)]
pub struct BallotWithResults {
    #[oai(flatten)]
    ballot: Ballot,
    /// The results with your ballot in them, where you may see them.
    results: Option<BallotResults>,
}

/// A ballot of yours, with its question.
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct MyBallot {
    #[oai(flatten)]
    #[serde(flatten)]
    ballot: Ballot,
    question: BallotQuestion,
}

/// Whether you may vote on a question, now.
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
struct Eligibility {
    /// Whether you can cast a ballot, or change the one that you have.
    can_vote: bool,
    /// Why not: the code of the problem that `castBallot` answers with.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same for people, and what would let you vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Until when you can vote, if voting has an end; with `voting_not_open` until when you cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
}

impl Eligibility {
    fn of(question: &Question, refusal: Option<Failure>) -> Eligibility {
        Eligibility {
            can_vote: refusal.is_none(),
            until: match &refusal {
                None => question.closes_at,
                Some(refusal) if refusal.code == Code::VotingNotOpen => question.opens_at,
                Some(_) => None,
            },
            code: refusal
                .as_ref()
                .map(|refusal| refusal.code.name().to_owned()),
            detail: refusal.map(|refusal| refusal.detail.into_owned()),
        }
    }
}

/// What a ballot is on.
#[derive(Debug, Object, Serialize)]
pub struct BallotQuestion {
    /// The question's id.
    id: Uuid,
    /// What people are asked.
    question_text: String,
    status: Status,
}

impl MyBallot {
    fn of(ballot: Ballot, question: &Question, now: Time) -> MyBallot {
        MyBallot {
            ballot,
            question: BallotQuestion {
                id: question.id,
                question_text: question.question_text.clone(),
                status: question.status(now),
            },
        }
    }
}

/// Why nobody votes without a token.
fn signed_out(question: &Question) -> Failure {
    let detail = match question.electorate {
        Electorate::Anyone => "Sign in, or become a guest with `POST /auth/guest`.",
        Electorate::Accounts | Electorate::Verified => "Sign in.",
        Electorate::Invited => "Use the code of your invitation.",
    };
    Failure::new(Code::Unauthenticated, detail)
}

/// A page of your ballots.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct BallotPage {
    /// Your ballots, those that were cast last first.
    pub data: Vec<MyBallot>,
    pub meta: PageMeta,
}

/// A [`BallotWithResults`] whose results are rendered already, once for everyone.
#[derive(Serialize)]
struct RenderedBallot<'a> {
    #[serde(flatten)]
    ballot: &'a Ballot,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<&'a Rendered>,
}

/// A ballot to be cast: `choice_ids` or `scores`, as the method of the question wants it. With neither,
/// it chooses nothing. An empty list is the same as none.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(rename = "BallotInput", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct NewBallot {
    /// The choices that you vote for, `min_choices` to `max_choices` of the question's, none of them
    /// twice: a set with `multiple_choice`, a ranking with the best first with `instant_runoff`,
    /// `single_transferable_vote`, `ranked_pairs` and `borda`. Not with other methods.
    // Not `unique_items`: generators would make a set of it, which may forget the ranking.
    #[oai(validator(max_items = 100))]
    #[serde(default, deserialize_with = "present")]
    #[validate(length(max = 100), custom(function = "unique_choices"))]
    pub choice_ids: Option<Vec<Uuid>>,
    /// Scores of the question's choices, of which `min_choices` to `max_choices` are above 0. Only
    /// with `score` and `star`.
    #[oai(validator(max_items = 100))]
    #[serde(default, deserialize_with = "exact::objects_if_present")]
    #[validate(length(max = 100), nested, custom(function = "unique_scores"))]
    pub scores: Option<Vec<Score>>,
    /// Required where ballots are `anonymous`, and not allowed elsewhere: 128 bits, drawn by you with a
    /// cryptographic random number generator, as 32 hexadecimal digits in lower case. Keep it, to send
    /// the same ballot again, and to find your ballot among the receipts after the close. Until then
    /// whoever knows it can find out how you voted, and afterwards you can prove it to whomever you show
    /// it.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub receipt: Option<ReceiptDigits>,
}

impl NewBallot {
    /// What is voted, and the receipt.
    fn paper(self) -> Result<(Paper, Option<Receipt>), Failure> {
        let receipt = self.receipt.as_ref().and_then(ReceiptDigits::receipt);
        Ok((self.choices_or_scores()?, receipt))
    }

    /// The one of the two that says something. Clients that OpenAPI Generator makes for Java send the
    /// other one as an empty list.
    fn choices_or_scores(self) -> Result<Paper, Failure> {
        let choices = self.choice_ids.filter(|choices| !choices.is_empty());
        let scores = self.scores.filter(|scores| !scores.is_empty());
        match (choices, scores) {
            (Some(choices), None) => Ok(Paper::Choices(choices)),
            (None, Some(scores)) => Ok(Paper::Scores(scores)),
            (None, None) => Ok(Paper::Nothing),
            (Some(_), Some(_)) => {
                let error = |pointer| {
                    FieldError::new(pointer, Rule::Method, "must not be given beside the other")
                };
                let errors = vec![error("/choice_ids"), error("/scores")];
                Err(Failure::invalid(errors))
            }
        }
    }
}

fn unique_choices(ids: &[Uuid]) -> Result<(), ValidationError> {
    unique(ids.iter().copied(), "")
}

fn unique_scores(scores: &[Score]) -> Result<(), ValidationError> {
    unique(scores.iter().map(|score| score.choice_id), "/choice_id")
}

fn unique(mut ids: impl Iterator<Item = Uuid>, below: &str) -> Result<(), ValidationError> {
    let mut seen = BTreeSet::new();
    match ids.position(|id| !seen.insert(id)) {
        None => Ok(()),
        Some(index) => {
            let mut error = ValidationError::new("unique");
            error.add_param("at".into(), &format!("/{index}{below}"));
            Err(error.with_message("must not be named twice".into()))
        }
    }
}

impl Example for BallotWithResults {
    fn example() -> Self {
        let results = BallotResults::example();
        BallotWithResults {
            ballot: Ballot {
                question_id: results.question_id,
                choice_ids: Some(results.leading_choice_ids.clone()),
                scores: None,
                cast_at: Some(results.as_of),
                updated_at: Some(results.as_of),
            },
            results: Some(results),
        }
    }
}

impl Example for Eligibility {
    fn example() -> Self {
        Eligibility {
            can_vote: false,
            code: Some(Code::VotingNotOpen.name().to_owned()),
            detail: Some("Voting on this question opens at 2100-01-01T00:00:00Z.".to_owned()),
            until: Some(Time(4_102_444_800_000_000)),
        }
    }
}

impl Example for MyBallot {
    fn example() -> Self {
        let BallotWithResults { ballot, .. } = BallotWithResults::example();
        MyBallot {
            question: BallotQuestion {
                id: ballot.question_id,
                question_text: "Which language for the next service?".to_owned(),
                status: Status::Open,
            },
            ballot,
        }
    }
}

impl Example for BallotPage {
    fn example() -> Self {
        BallotPage {
            data: vec![MyBallot::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

impl Example for NewBallot {
    fn example() -> Self {
        NewBallot {
            choice_ids: Some(BallotResults::example().leading_choice_ids),
            scores: None,
            receipt: None,
        }
    }
}

operations! {
    // What is in the ballot box is counted, even if the client hangs up.
    CastBallot: NotEligible, AddressUnknown, NotFound, VotingNotOpen, VotingClosed, AlreadyVoted,
        ReceiptTaken, AddressLimit, InvalidFields, ShuttingDown => {
        rate: Some(Kind::Ballots),
        survives_disconnect: true,
        links: Some(Links {
            status: 201,
            parameters: &[("question_id", "$request.path.question_id")],
        }),
    };
    GetEligibility: NotFound;
    GetBallot: NotFound;
    ListReceipts: MalformedRequest, ResultsHidden, NotFound, VotingOpen;
    ListMyBallots: MalformedRequest;
    WithdrawBallot: NotFound, VotingNotOpen, VotingClosed, BallotFinal, ShuttingDown => {
        rate: Some(Kind::Ballots),
        survives_disconnect: true,
    };
}

#[OpenApi]
impl BallotsApi {
    /// Cast or change your ballot
    ///
    /// 201 for your first ballot, 200 if you had one. Repeating your ballot changes nothing and
    /// succeeds whatever the question's status is, so if an answer gets lost, send the request
    /// again. A different ballot replaces yours if `allow_change` is true; otherwise it is 409
    /// `already_voted`. The order matters in a ranking only. You have one ballot at most, however many
    /// requests you send at once. A ballot that is acknowledged is on disk and counted.
    ///
    /// On a question whose `ballot_secrecy` is `anonymous` a ballot needs a `receipt`, and is final. The
    /// answer tells only that it was cast. A receipt that another ballot has is 409 `receipt_taken`, and
    /// nothing is kept: draw another one.
    ///
    /// Who may vote, the question's `electorate` says: `accounts` whoever has signed in, `verified`
    /// accounts whose email address is verified, `anyone` guests, too (`createGuest`), `invited` whoever
    /// uses an invitation. Others get 403 `not_eligible`, and `detail` says what would let them vote.
    /// Whether one may is read when the ballot is counted. Who may not any more, because the email
    /// address has changed, can repeat the ballot or withdraw it but not change it.
    ///
    /// With `ballots_per_address` only so many guests vote from one network address (409
    /// `address_limit`): an IPv4 address or an IPv6 /64. To change a ballot does not count again, and
    /// to withdraw one does not make room.
    #[oai(
        path = "/questions/:question_id/ballot",
        method = "put",
        operation_id = "castBallot",
        tag = "Tag::Ballots"
    )]
    async fn cast(
        &self,
        network: Network,
        voter: Voter,
        /// The question.
        question_id: Path<Uuid>,
        body: Body<NewBallot>,
    ) -> Result<Put<BallotWithResults>, Refused<CastBallot>> {
        let caller = voter.0.caller;
        let (paper, receipt) = body.0.paper()?;
        let cast = self
            .ballots
            .cast(caller, network, question_id.0, paper, receipt);
        let Cast { ballot, is_first } = cast.await?;
        let rendered = self.render(ballot, caller).await?;
        Ok(if is_first {
            let location = format!("{API}/questions/{}/ballot", question_id.0);
            Put::Created(Created::new(rendered, location))
        } else {
            Put::Replaced(Changed::new(rendered))
        })
    }

    /// Ask whether you may vote
    ///
    /// Tells before you try what `castBallot` would answer. Without a token you cannot vote: the `code`
    /// is `unauthenticated`.
    #[oai(
        path = "/questions/:question_id/eligibility",
        method = "get",
        operation_id = "getEligibility",
        tag = "Tag::Ballots"
    )]
    async fn eligibility(
        &self,
        network: Network,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Answered<Eligibility>, Refused<GetEligibility>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let question = &view.poll.question;
        let refusal = match caller.caller() {
            Some(caller) => self.ballots.refusal(caller, network, question).await?,
            None => Some(signed_out(question)),
        };
        let eligibility = Eligibility::of(question, refusal);
        Ok(Answered::new(Rendered::plain(&eligibility)?))
    }

    /// Read your ballot
    ///
    /// 404 if you have none. An anonymous ballot is there, but without what you voted and when.
    #[oai(
        path = "/questions/:question_id/ballot",
        method = "get",
        operation_id = "getBallot",
        tag = "Tag::Ballots"
    )]
    async fn get(
        &self,
        voter: Voter,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Fetched<BallotWithResults>, Refused<GetBallot>> {
        let caller = voter.0.caller;
        let view = self.views.find(question_id.0, Some(caller)).await?;
        let ballot = self.ballots.find(caller.id, &view.poll.question).await?;
        let ballot = ballot.ok_or_else(not_found)?;
        Ok(Fetched::new(self.render(ballot, caller).await?))
    }

    /// List your ballots
    ///
    /// On all questions that are not deleted, those that you cast last first, each with the question's
    /// text and status. Without anonymous ballots: nobody can tell what yours says.
    ///
    /// With `question_id` your ballot on that question, or an empty list if you have none: for clients
    /// that want to know whether you have voted, where `getBallot` answers 404.
    #[oai(
        path = "/users/me/ballots",
        method = "get",
        operation_id = "listMyBallots",
        tag = "Tag::Ballots"
    )]
    async fn list(
        &self,
        voter: Voter,
        /// Only your ballot on this question.
        question_id: Query<Option<Uuid>>,
        paging: Paging,
    ) -> Result<Answered<BallotPage>, Refused<ListMyBallots>> {
        let user = voter.0.caller.id;
        let scope = format!("ballots of {user} on {:?}", question_id.0);
        let request = paging.of(&scope)?;
        let page = match question_id.0 {
            Some(question) => BallotPage {
                data: self.mine_on(user, question).await?.into_iter().collect(),
                meta: PageMeta { next_cursor: None },
            },
            None => {
                let page = self
                    .ballots
                    .of_user(user, Which::OnQuestions, request)
                    .await?;
                let (now, items) = (self.clock.now(), page.items.into_iter());
                let mine = items.map(|mine| MyBallot::of(mine.ballot, &mine.question, now));
                BallotPage {
                    data: mine.collect(),
                    meta: PageMeta::new(page.next, &scope),
                }
            }
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// List the receipts
    ///
    /// All ballots on a question whose `ballot_secrecy` is `anonymous`, each under its receipt and in
    /// the order of the receipts, so that you can find yours and count them all. For whoever may see the
    /// results, once they are final; before that 409 `voting_open`. Ballots of other questions have no
    /// receipts (404).
    #[oai(
        path = "/questions/:question_id/receipts",
        method = "get",
        operation_id = "listReceipts",
        tag = "Tag::Ballots"
    )]
    async fn receipts(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        paging: Paging,
    ) -> Result<Answered<ReceiptPage>, Refused<ListReceipts>> {
        let caller = caller.caller();
        let view = self.views.find(question_id.0, caller).await?;
        let question = &view.poll.question;
        if !question.is_anonymous() {
            let detail = "The ballots on this question are not anonymous, and have no receipts.";
            return Err(Failure::new(Code::NotFound, detail).into());
        }
        if !question.is_final() {
            let detail = "The receipts are listed once voting is over and all ballots are counted.";
            return Err(Failure::new(Code::VotingOpen, detail).into());
        }
        if !self.views.is_visible(&view, caller).await? {
            return Err(hidden().into());
        }
        let scope = format!("receipts of {}", question.id);
        let page = paging.of(&scope)?;
        let Page { items, next } = self.ballots.receipts(question, page).await?;
        let page = ReceiptPage {
            data: items,
            meta: PageMeta::new(next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Withdraw your ballot
    ///
    /// As if you had never voted; you may vote again. 409 `ballot_final` if `allow_change` is
    /// false.
    #[oai(
        path = "/questions/:question_id/ballot",
        method = "delete",
        operation_id = "withdrawBallot",
        tag = "Tag::Ballots"
    )]
    async fn withdraw(
        &self,
        network: Network,
        voter: Voter,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Done, Refused<WithdrawBallot>> {
        self.ballots
            .withdraw(voter.0.caller, network, question_id.0)
            .await?;
        Ok(Done)
    }
}

impl BallotsApi {
    /// The user's ballot on a question that is not deleted.
    async fn mine_on(&self, user: Uuid, question: Uuid) -> Result<Option<MyBallot>, Failure> {
        let view = self.views.latest(question).await?;
        let Some(view) = view.filter(|view| view.poll.question.deleted_at.is_none()) else {
            return Ok(None);
        };
        let question = &view.poll.question;
        let ballot = self.ballots.find(user, question).await?;
        Ok(ballot.map(|ballot| MyBallot::of(ballot, question, view.read_at)))
    }

    /// The ballot, with the results where the caller may see them.
    async fn render(&self, ballot: Ballot, caller: Caller) -> Result<Rendered, Failure> {
        // Read after the ballot is committed, so that it is in the results.
        let results = match self.views.find(ballot.question_id, Some(caller)).await {
            // The caller has a ballot: this one.
            Ok(view) if are_visible(&view.poll.question, Some(caller), true, view.read_at) => {
                Some(view.ballot_results()?)
            }
            Ok(_) => None,
            // The ballot is cast, so the request succeeds without results.
            Err(failure) => {
                tracing::debug!(%failure, "a ballot is answered without its results");
                None
            }
        };
        let rendered = RenderedBallot {
            ballot: &ballot,
            results: results.as_ref(),
        };
        let rendered = Rendered::plain(&rendered)?;
        // Weak, because the tag of the results is: it does not cover `as_of`.
        let shown = results.and_then(|results| results.etag).unwrap_or_default();
        let shown = shown.trim_start_matches("W/").trim_matches('"');
        let updated_at = ballot.updated_at.map_or(0, |time| time.0);
        let tag = format!("W/\"0.{updated_at}.{shown}\"");
        Ok(rendered.with_etag(tag))
    }
}
