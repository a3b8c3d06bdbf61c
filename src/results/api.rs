//! `/questions/{id}/results`.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::qr_code::qr_code;
use super::{Results, Views};
use crate::auth::guard::MaybeSignedIn;
use crate::config::Origin;
use crate::failure::{Code, Failure};
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::{Fetched, Picture};
use crate::http::spec::Tag;
use crate::rendered::{Rendered, entity_tag};

/// The handlers of results.
pub struct ResultsApi {
    pub views: Views,
    /// The address that clients use, if it is configured.
    pub public_url: Option<Origin>,
}

operations! {
    GetResults: NotFound, ResultsHidden;
    GetResultsPicture: NotFound;
    GetQrCode: NotFound;
}

#[OpenApi]
impl ResultsApi {
    /// Read the results
    ///
    /// Votes, `ballot_count` and `outcome` are of one moment. `share` is the part of the ballots that
    /// name a choice; where a ballot may name several, the shares add up to more than 1. `is_final`
    /// says that the numbers can no longer move: the question is closed, and every ballot that was
    /// taken in time is counted. It follows a close at once, and a `closes_at` within a second or
    /// so; with anonymous ballots nobody sees numbers before (403 `results_hidden`).
    ///
    /// With `explain=true` the answer tells how the outcome came about: round by round, pair by pair,
    /// or by points. Where millions of ballots are all different, counting them takes some seconds;
    /// after ten the answer is 503 `overloaded`, and the count goes on.
    ///
    /// **The lot** breaks ties that the ballots leave. The server draws its seed when the question is
    /// asked and shows the seed's SHA-256 (`lot.commitment`); once the lot has decided a final result,
    /// it shows the seed (`lot.seed`), and the question cannot be reopened. The choices are drawn in
    /// ascending order of the SHA-256 of: the seed, then for each choice in the order of the ids the
    /// 16 bytes of its id and its `votes` as 8 bytes, big-endian, then the 16 bytes of the id of the
    /// choice in question. Until the result is final, positions stand in for the lot, and the outcome
    /// is `provisional`. The README has a program that
    /// checks a lot.
    ///
    /// Whoever can read the database knows the seed before.
    ///
    /// While the question's `results_visibility` hides the numbers from you, the answer is 403
    /// `results_hidden`. The `ETag` changes with the numbers, not with `as_of`.
    #[oai(
        path = "/questions/:question_id/results",
        method = "get",
        operation_id = "getResults",
        tag = "Tag::Results"
    )]
    async fn get(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// Whether to tell how the outcome came about. It can be some hundred kilobytes.
        #[oai(default)]
        explain: Query<bool>,
    ) -> Result<Fetched<Results>, Refused<GetResults>> {
        let caller = caller.caller();
        let view = self.views.find_results(question_id.0, caller).await?;
        Ok(Fetched::new(view.results(explain.0)?))
    }

    /// Read the results as a picture
    ///
    /// The bars as SVG, for chats, READMEs and other places that show only pictures, light or
    /// dark as the reader likes it. Of more than twelve choices, those with the most votes. Its few
    /// words are Chinese where the question is, else English. While the question's
    /// `results_visibility` hides the numbers from you, the picture has the question and says so.
    /// Nothing else about it is promised: programs read the results.
    #[oai(
        path = "/questions/:question_id/results.svg",
        method = "get",
        operation_id = "getResultsPicture",
        tag = "Tag::Results"
    )]
    async fn picture(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Picture, Refused<GetResultsPicture>> {
        let caller = caller.caller();
        let mut view = self.views.find(question_id.0, caller).await?;
        let mut with_numbers = self.views.is_visible(&view, caller).await?;
        if with_numbers {
            view = self.views.counted(view).await?;
            with_numbers = self.views.is_visible(&view, caller).await?;
        }
        Ok(Picture::new(view.picture(with_numbers)?))
    }

    /// Get the QR code of a question
    ///
    /// The address of the question's page, as SVG. 404 where the server does not know its own
    /// address; `features` in `/.well-known/oauth-authorization-server` has `qr_codes` where it does.
    #[oai(
        path = "/questions/:question_id/qr.svg",
        method = "get",
        operation_id = "getQrCode",
        tag = "Tag::Questions"
    )]
    async fn qr_code(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Picture, Refused<GetQrCode>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let unknown = || {
            let detail =
                "The server does not know its address: its operator has not set server.public_url.";
            Failure::new(Code::NotFound, detail)
        };
        let origin = self.public_url.as_ref().ok_or_else(unknown)?;
        let code = qr_code(&format!("{origin}/questions/{}", view.poll.question.id))?;
        let tag = entity_tag(0, code.as_bytes());
        Ok(Picture::new(Rendered::picture(code, tag)))
    }
}
