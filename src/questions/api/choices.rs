//! `/questions/{id}/choices`.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use uuid::Uuid;

use crate::auth::guard::{MaybeSignedIn, SignedIn};
use crate::failure::Failure;
use crate::http::API;
use crate::http::body::Body;
use crate::http::policy::{Links, operations};
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Changed, Created, Done, Fetched};
use crate::http::spec::Tag;
use crate::precondition::IfMatch;
use crate::questions::Questions;
use crate::questions::choices::{ChoicePatch, NewChoice};
use crate::rendered::Rendered;
use crate::results::objects::{Choice, ChoiceList};
use crate::results::{Views, are_visible};
use crate::users::Caller;

/// The handlers of choices.
pub struct ChoicesApi {
    pub questions: Questions,
    pub views: Views,
}

operations! {
    ListChoices: NotFound;
    GetChoice: NotFound;
    AddChoice: Forbidden, NotFound, VotingClosed, QuotaExceeded, Stale, InvalidFields => {
        links: Some(Links {
            status: 201,
            parameters: &[
                ("question_id", "$request.path.question_id"),
                ("choice_id", "$response.body#/id"),
            ],
        }),
    };
    UpdateChoice: Forbidden, NotFound, VotingClosed, HasBallots, QuotaExceeded, Stale, InvalidFields;
    DeleteChoice: Forbidden, NotFound, VotingClosed, HasBallots, Stale, InvalidFields;
}

#[OpenApi]
impl ChoicesApi {
    /// List the choices of a question
    ///
    /// All of them, in their order, with their votes as far as you may see them.
    #[oai(
        path = "/questions/:question_id/choices",
        method = "get",
        operation_id = "listChoices",
        tag = "Tag::Choices"
    )]
    async fn list(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Answered<ChoiceList>, Refused<ListChoices>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let numbers = self.views.is_visible(&view, caller.caller()).await?;
        Ok(Answered::new(view.choices(numbers)?))
    }

    /// Add a choice
    ///
    /// Allowed while people vote, up to 100 choices, but not once the question is closed (409
    /// `voting_closed`). Ballots that do not name it put it last. The question's revision grows.
    ///
    /// Sent twice: the second is 422 `unique`, since the choices of a question differ.
    #[oai(
        path = "/questions/:question_id/choices",
        method = "post",
        operation_id = "addChoice",
        tag = "Tag::Choices"
    )]
    async fn add(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        if_match: IfMatch,
        body: Body<NewChoice>,
    ) -> Result<Created<Choice>, Refused<AddChoice>> {
        let (caller, question) = (signed_in.caller, question_id.0);
        let questions = &self.questions;
        let id = questions
            .add_choice(caller, question, &if_match, &body.0)
            .await?;
        let rendered = self.changed(question, id, caller).await?;
        Ok(Created::new(
            rendered,
            format!("{API}/questions/{question}/choices/{id}"),
        ))
    }

    /// Read a choice
    ///
    /// With its votes as far as you may see them. Its `ETag` has the revision of its question.
    #[oai(
        path = "/questions/:question_id/choices/:choice_id",
        method = "get",
        operation_id = "getChoice",
        tag = "Tag::Choices"
    )]
    async fn get(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The choice.
        choice_id: Path<Uuid>,
    ) -> Result<Fetched<Choice>, Refused<GetChoice>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let numbers = self.views.is_visible(&view, caller.caller()).await?;
        Ok(Fetched::new(view.choice(choice_id.0, numbers)?))
    }

    /// Change a choice
    ///
    /// Its `position` until the question is closed (409 `voting_closed`); its `choice_text` only while
    /// nobody has voted on the question (409 `has_ballots`). The question's revision grows.
    #[oai(
        path = "/questions/:question_id/choices/:choice_id",
        method = "patch",
        operation_id = "updateChoice",
        tag = "Tag::Choices"
    )]
    async fn update(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The choice.
        choice_id: Path<Uuid>,
        if_match: IfMatch,
        body: Body<ChoicePatch>,
    ) -> Result<Changed<Choice>, Refused<UpdateChoice>> {
        let (caller, question, id) = (signed_in.caller, question_id.0, choice_id.0);
        self.questions
            .update_choice(caller, (question, id), &if_match, &body.0)
            .await?;
        Ok(Changed::new(self.changed(question, id, caller).await?))
    }

    /// Delete a choice
    ///
    /// Only while nobody has voted on the question (409 `has_ballots`), and never so that fewer
    /// than 2, than `max_choices`, or than `seats` and one more are left. Not once the question is
    /// closed (409 `voting_closed`). The question's revision grows.
    #[oai(
        path = "/questions/:question_id/choices/:choice_id",
        method = "delete",
        operation_id = "deleteChoice",
        tag = "Tag::Choices"
    )]
    async fn delete(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The choice.
        choice_id: Path<Uuid>,
        if_match: IfMatch,
    ) -> Result<Done, Refused<DeleteChoice>> {
        let choice = (question_id.0, choice_id.0);
        self.questions
            .remove_choice(signed_in.caller, choice, &if_match)
            .await?;
        Ok(Done)
    }
}

impl ChoicesApi {
    /// The choice as the question's author or an admin has just changed it.
    async fn changed(
        &self,
        question: Uuid,
        choice: Uuid,
        caller: Caller,
    ) -> Result<Rendered, Failure> {
        let view = self.views.find(question, Some(caller)).await;
        let view = view.map_err(Failure::although_done)?;
        let numbers = are_visible(&view.poll.question, Some(caller), false, view.read_at);
        view.choice(choice, numbers)
    }
}
