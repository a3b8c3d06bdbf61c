//! `/questions` and `/questions/{id}/choices`.

mod asker;
mod choices;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::closing::Reopening;
use super::{Draft, QuestionPatch, Questions, Status};
use crate::auth::guard::{MaybeSignedIn, SignedIn};
use crate::failure::{Code, Failure};
use crate::http::API;
use crate::http::body::{Body, OptionalBody, Unchecked};
use crate::http::policy::{Links, operations};
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Changed, Created, Done, Fetched};
use crate::http::spec::Tag;
use crate::network::Network;
use crate::page::Paging;
use crate::precondition::IfMatch;
use crate::rendered::Rendered;
use crate::results::list::{Filter, Sort};
use crate::results::objects::{Question, QuestionPage};
use crate::results::{PageQuery, Views, are_visible};
use crate::users::Caller;

use asker::Asker;

pub use choices::ChoicesApi;

/// The largest body in bytes of a new question: each of its characters may be written as two
/// escapes of six bytes.
const MAX_BODY: u64 = 320 * 1024;

/// The handlers of questions.
pub struct QuestionsApi {
    pub questions: Questions,
    pub views: Views,
}

operations! {
    ListQuestions: MalformedRequest, Unauthenticated, Forbidden;
    CreateQuestion: QuotaExceeded, MailNotConfigured, InvalidFields => {
        max_body: Some(MAX_BODY),
        links: Some(Links { status: 201, parameters: &[("question_id", "$response.body#/id")] }),
    };
    GetQuestion: NotFound;
    UpdateQuestion: Forbidden, NotFound, VotingClosed, HasBallots, QuotaExceeded, MailNotConfigured, Stale, InvalidFields;
    CloseQuestion: Forbidden, NotFound, Stale;
    ReopenQuestion: Forbidden, NotFound, LotDrawn, AnonymousBallots, Stale, InvalidFields;
    DeleteQuestion: Forbidden, NotFound, Stale => {
        links: Some(Links {
            status: 204,
            parameters: &[("question_id", "$request.path.question_id")],
        }),
    };
    RestoreQuestion: Forbidden, NotFound;
}

#[OpenApi]
impl QuestionsApi {
    /// List questions
    ///
    /// Newest first unless `sort` says otherwise, with their choices. A page may have fewer than
    /// `limit`: it ends where its questions make about 1 MiB. Follow `meta.next_cursor`
    /// until it is absent, with the same other parameters: questions that are asked meanwhile
    /// cause neither gaps nor repeats. Numbers are shown as each question's `results_visibility`
    /// allows.
    ///
    /// Questions that are not `listed` are left out for everyone, their authors included, unless
    /// `author=me`, `deleted` or `listed` asks for them.
    #[oai(
        path = "/questions",
        method = "get",
        operation_id = "listQuestions",
        tag = "Tag::Questions"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        network: Network,
        caller: MaybeSignedIn,
        /// Only questions in this status now.
        status: Query<Option<Status>>,
        /// Only questions of this account: its id, or `me` for your own, listed or not.
        author: Query<Option<Asker>>,
        /// Only questions whose text and choices together have, for each of these words, a word
        /// that is the same or begins with it: `lun` finds lunch. A single letter finds only a
        /// word of one letter. Chinese, Japanese and Korean are found by characters and pairs of
        /// characters. In very long questions only the first 2,000 beginnings, characters and
        /// pairs are found.
        #[oai(validator(min_length = 1, max_length = 100), example = "words")]
        q: Query<Option<String>>,
        /// The order.
        #[oai(default = "newest_first")]
        sort: Query<Sort>,
        /// Only questions that are listed (`true`), or only those that are not (`false`): admins see
        /// everybody's, others with `author=me` their own.
        #[oai(example = "only_listed")]
        listed: Query<Option<bool>>,
        /// Deleted questions instead of the others, listed or not: your own, or everybody's if you
        /// are an admin.
        #[oai(default)]
        deleted: Query<bool>,
        paging: Paging,
    ) -> Result<Answered<QuestionPage>, Refused<ListQuestions>> {
        let caller = caller.caller();
        let (author, listed) = scope_of_list(author.0, listed.0, deleted.0, caller)?;
        let filter = Filter {
            status: status.0,
            author,
            words: q.0,
            sort: sort.0,
            listed,
            deleted: deleted.0,
        };
        let page = paging.of(&filter.scope())?;
        let query = PageQuery::new(filter, page, network);
        Ok(Answered::new(self.views.list(query, caller).await?))
    }

    /// Ask a question
    ///
    /// With all its choices, whose texts must differ (after Unicode NFC, without white space around
    /// them and without characters that are not shown; case matters). Whoever asks is its author.
    /// The body may have up to 320 KiB. How many questions an account may ask in a day, and how
    /// much text it may have altogether, is limited (409 `quota_exceeded`). On a server without mail
    /// nobody has a verified address, so the electorate cannot be `verified` (409
    /// `mail_not_configured`).
    ///
    /// Sent twice: asks two questions. If an answer got lost, look for the question with
    /// `listQuestions` and your id as `author` first.
    #[oai(
        path = "/questions",
        method = "post",
        operation_id = "createQuestion",
        tag = "Tag::Questions"
    )]
    async fn create(
        &self,
        signed_in: SignedIn,
        body: Unchecked<Draft>,
    ) -> Result<Created<Question>, Refused<CreateQuestion>> {
        let caller = signed_in.caller;
        let id = self.questions.create(caller.id, &body.0).await?;
        let rendered = self.shown(id, caller).await?;
        Ok(Created::new(rendered, format!("{API}/questions/{id}")))
    }

    /// Read a question
    ///
    /// With its choices and, as far as you may see them, its numbers, all of one moment. The
    /// `ETag` is `"<revision>.<hash>"`: it changes with every vote, its first part only when the
    /// question itself is changed.
    #[oai(
        path = "/questions/:question_id",
        method = "get",
        operation_id = "getQuestion",
        tag = "Tag::Questions"
    )]
    async fn get(
        &self,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Fetched<Question>, Refused<GetQuestion>> {
        let view = self.views.find(question_id.0, caller.caller()).await?;
        let numbers = self.views.is_visible(&view, caller.caller()).await?;
        Ok(Fetched::new(view.question(numbers)?))
    }

    /// Change a question
    ///
    /// What is absent stays, null clears `description`, `quorum`, `threshold`,
    /// `ballots_per_address`, `opens_at` or `closes_at`, and restores the default of `max_choices`,
    /// `max_score` and `tie_break`. Once somebody has voted, only `description`, `closes_at` and
    /// `listed` can be changed (409 `has_ballots`).
    /// `closes_at` of a closed question is 409 `voting_closed`: reopen it. With `If-Match`, 412
    /// where somebody else has changed the question meanwhile; votes do not count as changes.
    #[oai(
        path = "/questions/:question_id",
        method = "patch",
        operation_id = "updateQuestion",
        tag = "Tag::Questions"
    )]
    async fn update(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        if_match: IfMatch,
        body: Body<QuestionPatch>,
    ) -> Result<Changed<Question>, Refused<UpdateQuestion>> {
        let (caller, id) = (signed_in.caller, question_id.0);
        self.questions
            .update(caller, id, &if_match, &body.0)
            .await?;
        Ok(self.changed(id, caller).await?)
    }

    /// Close a question
    ///
    /// From the answer on the tally never moves until the question is reopened: every ballot that
    /// was acknowledged before is counted, and no other is taken. Anonymous ballots are stored anew, so
    /// that nothing leads from them to their voters; with hundreds of thousands of them, numbers are
    /// shown only some time after the answer.
    ///
    /// Sent twice: closing a closed question changes nothing.
    #[oai(
        path = "/questions/:question_id/close",
        method = "post",
        operation_id = "closeQuestion",
        tag = "Tag::Questions"
    )]
    async fn close(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        if_match: IfMatch,
    ) -> Result<Changed<Question>, Refused<CloseQuestion>> {
        let (caller, id) = (signed_in.caller, question_id.0);
        self.questions.close(caller, id, &if_match).await?;
        Ok(self.changed(id, caller).await?)
    }

    /// Reopen a question
    ///
    /// Clears the close, and a `closes_at` that has passed; the body may set another one, be null or
    /// be left out. A question whose result was decided by lot stays closed (409 `lot_drawn`), so that
    /// nobody draws until they like the result. So does a question with anonymous ballots (409
    /// `anonymous_ballots`): its numbers are known, and those of the ballots that follow would tell what
    /// their voters choose.
    ///
    /// Sent twice: reopening an open question changes nothing but the `closes_at` that the body has.
    #[oai(
        path = "/questions/:question_id/reopen",
        method = "post",
        operation_id = "reopenQuestion",
        tag = "Tag::Questions"
    )]
    async fn reopen(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        if_match: IfMatch,
        body: OptionalBody<Reopening>,
    ) -> Result<Changed<Question>, Refused<ReopenQuestion>> {
        let (caller, id) = (signed_in.caller, question_id.0);
        loop {
            let lot = self.views.lot_state(id).await?;
            let reopened = self.questions.reopen(caller, id, &if_match, &body.0, lot);
            if reopened.await? {
                return Ok(self.changed(id, caller).await?);
            }
        }
    }

    /// Delete a question
    ///
    /// It is gone for everyone but its author and admins, who can restore it; its ballots are
    /// kept, and no more are taken.
    #[oai(
        path = "/questions/:question_id",
        method = "delete",
        operation_id = "deleteQuestion",
        tag = "Tag::Questions"
    )]
    async fn delete(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        if_match: IfMatch,
    ) -> Result<Done, Refused<DeleteQuestion>> {
        self.questions
            .delete(signed_in.caller, question_id.0, &if_match)
            .await?;
        Ok(Done)
    }

    /// Restore a deleted question
    ///
    /// With its choices and ballots, as it was.
    ///
    /// Sent twice: restoring a question that is not deleted changes nothing.
    #[oai(
        path = "/questions/:question_id/restore",
        method = "post",
        operation_id = "restoreQuestion",
        tag = "Tag::Questions"
    )]
    async fn restore(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Changed<Question>, Refused<RestoreQuestion>> {
        let (caller, id) = (signed_in.caller, question_id.0);
        self.questions.restore(caller, id).await?;
        Ok(self.changed(id, caller).await?)
    }
}

impl QuestionsApi {
    /// The question as its author or an admin has just changed it.
    async fn changed(&self, id: Uuid, caller: Caller) -> Result<Changed<Question>, Failure> {
        Ok(Changed::new(self.shown(id, caller).await?))
    }

    async fn shown(&self, id: Uuid, caller: Caller) -> Result<Rendered, Failure> {
        let view = self.views.find(id, Some(caller)).await;
        let view = view.map_err(Failure::although_done)?;
        // The author sees the numbers, unless they are hidden from everyone.
        let numbers = are_visible(&view.poll.question, Some(caller), false, view.read_at);
        view.question(numbers)
    }
}

fn words() -> Option<String> {
    Some("language".to_owned())
}

fn only_listed() -> Option<bool> {
    Some(true)
}

fn newest_first() -> Sort {
    Sort::NewestFirst
}

/// The author whose questions a list shows, and whether it shows those that are listed or the others
/// (none for both). Deleted questions, and those that are not listed, are shown to their own author
/// and to admins only.
fn scope_of_list(
    author: Option<Asker>,
    listed: Option<bool>,
    deleted: bool,
    caller: Option<Caller>,
) -> Result<(Option<Uuid>, Option<bool>), Failure> {
    let sign_in = |detail| move || Failure::new(Code::Unauthenticated, detail);
    let author = match author {
        None => None,
        Some(Asker::Account(id)) => Some(id),
        Some(Asker::Me) => {
            let caller = caller.ok_or_else(sign_in("Sign in to list your own questions."))?;
            // Whoever asks for their own questions sees all of them.
            if !deleted {
                return Ok((Some(caller.id), listed));
            }
            Some(caller.id)
        }
    };
    if deleted {
        let detail = "Sign in to list the questions that you have deleted.";
        let caller = caller.ok_or_else(sign_in(detail))?;
        return match author {
            author if caller.is_admin() => Ok((author, listed)),
            None => Ok((Some(caller.id), listed)),
            Some(author) if author == caller.id => Ok((Some(author), listed)),
            Some(_) => {
                let detail = "Only an admin may list what others have deleted.";
                Err(Failure::new(Code::Forbidden, detail))
            }
        };
    }
    if listed == Some(false) {
        let detail = "Sign in to list questions that are not listed.";
        let caller = caller.ok_or_else(sign_in(detail))?;
        if !caller.is_admin() {
            let detail = "Only an admin may list what others have not listed. With `author=me` you \
                          see your own.";
            return Err(Failure::new(Code::Forbidden, detail));
        }
    }
    Ok((author, Some(listed.unwrap_or(true))))
}
