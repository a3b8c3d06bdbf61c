//! `/questions/{id}/ballots` and `/questions/{id}/voters`.

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use uuid::Uuid;

use crate::auth::guard::MaybeSignedIn;
use crate::ballots::Ballots;
use crate::ballots::roll::{self, PublicBallot, Voter};
use crate::failure::{Code, Failure};
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::Answered;
use crate::http::spec::Tag;
use crate::page::{PageMeta, Paging};
use crate::questions::{BallotSecrecy, Question};
use crate::rendered::Rendered;
use crate::results::{BallotResults, Views};
use crate::users::Caller;

/// The handlers of what is shown of those who have voted.
pub struct RollApi {
    pub ballots: Ballots,
    pub views: Views,
}

/// A page of the ballots on a question, in the order of the voters' ids.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct PublicBallotPage {
    /// The ballots of this page.
    pub data: Vec<PublicBallot>,
    pub meta: PageMeta,
}

/// A page of those who have voted on a question, in the order of their ids.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct VoterPage {
    /// The voters of this page.
    pub data: Vec<Voter>,
    pub meta: PageMeta,
}

operations! {
    ListBallots: MalformedRequest, ResultsHidden, NotFound, BallotsNotPublic;
    ListVoters: MalformedRequest, Unauthenticated, Forbidden, ResultsHidden, NotFound, VotingOpen,
        Reopened, TooFewBallots;
}

#[OpenApi]
impl RollApi {
    /// List the ballots of a question
    ///
    /// Who has voted how, for whoever may see the results: only where `ballot_secrecy` is `public`,
    /// otherwise the answer is 409 `ballots_not_public`. People who vote meanwhile cause neither gaps
    /// nor repeats.
    #[oai(
        path = "/questions/:question_id/ballots",
        method = "get",
        operation_id = "listBallots",
        tag = "Tag::Ballots"
    )]
    async fn ballots(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        paging: Paging,
    ) -> Result<Answered<PublicBallotPage>, Refused<ListBallots>> {
        let (id, caller) = (question_id.0, caller.caller());
        let view = self.views.find(id, caller).await?;
        let question = &view.poll.question;
        roll::require_public(question)?;
        self.views.require_visible(&view, caller).await?;
        let scope = format!("ballots of {id}");
        let page = self.ballots.signed(id, paging.of(&scope)?).await?;
        let ballots = page.items.into_iter();
        let page = PublicBallotPage {
            data: ballots.map(|ballot| ballot.shown(question)).collect(),
            meta: PageMeta::new(page.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// List who has voted
    ///
    /// Not how: for the author and admins, once voting has ended (409 `voting_open` before). Watching
    /// who votes beside numbers that move would tell how they vote; for the same reason a question
    /// that was ever reopened does not show it (409 `reopened`), nor one with fewer than 10 ballots
    /// (409 `too_few_ballots`). Where all have voted alike, the results tell nevertheless.
    ///
    /// Where `ballot_secrecy` is `public`, whoever may see the results sees it at any time.
    #[oai(
        path = "/questions/:question_id/voters",
        method = "get",
        operation_id = "listVoters",
        tag = "Tag::Ballots"
    )]
    async fn voters(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        paging: Paging,
    ) -> Result<Answered<VoterPage>, Refused<ListVoters>> {
        let (id, caller) = (question_id.0, caller.caller());
        let view = self.views.find(id, caller).await?;
        let question = &view.poll.question;
        match question.ballot_secrecy {
            BallotSecrecy::Public => self.views.require_visible(&view, caller).await?,
            BallotSecrecy::Secret => require_author(question, caller)?,
        }
        roll::require_roll(question, view.poll.ballot_count)?;
        let scope = format!("voters of {id}");
        let page = self.ballots.voters(id, paging.of(&scope)?).await?;
        // It may have been reopened meanwhile.
        let view = self.views.find(id, caller).await?;
        roll::require_roll(&view.poll.question, view.poll.ballot_count)?;
        let page = VoterPage {
            data: page.items,
            meta: PageMeta::new(page.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }
}

fn require_author(question: &Question, caller: Option<Caller>) -> Result<(), Failure> {
    let caller = caller.ok_or_else(|| {
        let detail = "Sign in to see who has voted on your question.";
        Failure::new(Code::Unauthenticated, detail)
    })?;
    if question.may_be_changed_by(caller) {
        return Ok(());
    }
    let detail = "Only the author of a question, or an admin, may see who has voted.";
    Err(Failure::new(Code::Forbidden, detail))
}

impl Example for Voter {
    fn example() -> Self {
        Voter {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            name: Some("露西".to_owned()),
            guest: false,
        }
    }
}

impl Example for PublicBallot {
    fn example() -> Self {
        let results = BallotResults::example();
        PublicBallot {
            voter: Voter::example(),
            choice_ids: results.leading_choice_ids,
            scores: None,
            cast_at: results.as_of,
            updated_at: results.as_of,
        }
    }
}

impl Example for PublicBallotPage {
    fn example() -> Self {
        PublicBallotPage {
            data: vec![PublicBallot::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

impl Example for VoterPage {
    fn example() -> Self {
        VoterPage {
            data: vec![Voter::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}
