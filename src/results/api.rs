//! `/questions/{id}/results`.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use uuid::Uuid;

use super::{Results, Views, hidden};
use crate::auth::guard::MaybeSignedIn;
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::{Fetched, Picture};
use crate::http::spec::Tag;

/// The handlers of results.
pub struct ResultsApi {
    pub views: Views,
}

operations! {
    GetResults: NotFound, ResultsHidden;
    GetResultsPicture: NotFound;
}

#[OpenApi]
impl ResultsApi {
    /// Read the results
    ///
    /// Votes and `ballot_count` are of one moment. `share` is the part of the ballots that name a
    /// choice; where a ballot may name several, the shares add up to more than 1. `is_final` says
    /// that the numbers can no longer move: the question is closed, and every ballot that was
    /// taken in time is counted. It follows a close at once, and a `closes_at` within a second or
    /// so.
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
    ) -> Result<Fetched<Results>, Refused<GetResults>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        if !self.views.is_visible(&view, caller.caller()).await? {
            return Err(hidden().into());
        }
        Ok(Fetched::new(view.results()?))
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
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let with_numbers = self.views.is_visible(&view, caller.caller()).await?;
        Ok(Picture::new(view.picture(with_numbers)?))
    }
}
