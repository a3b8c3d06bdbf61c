//! Questions and their choices: what people vote on.
//!
//! Some changes are forbidden once somebody has voted: a new text, fewer choices. Whether there are
//! ballots is checked while all slots of the question are locked, so that no ballot is counted
//! between the check and the change; see [`slot`].

pub mod api;
pub mod choice;
pub mod choices;
pub mod closing;
pub mod document;
pub mod draft;
pub mod entity;
pub mod lot;
pub mod network_ballots;
pub mod quota;
pub mod search;
pub mod slot;
pub mod term;
pub mod usage;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use sea_orm::IntoActiveModel as _;
use sea_orm::entity::prelude::*;

use crate::clock::{Clock, Time};
use crate::db::{self, Db, Transaction};
use crate::failure::{Code, Failure};
use crate::input;
use crate::mail::Mail;
use crate::precondition::IfMatch;
use crate::share::Share;
use crate::tally::{Method, Threshold, TieBreak};
use crate::users::Caller;

use closing::Unlink;
pub use draft::{Draft, QuestionPatch};
pub use entity::{BallotSecrecy, Electorate, Model as Question, Status, Visibility};
use lot::Seed;
pub use quota::Quotas;
use quota::Use;

/// The verbs of questions and their choices. Each announces a change to whoever watches the
/// question, after its commit.
#[derive(Clone)]
pub struct Questions {
    db: Db,
    clock: Clock,
    share: Share,
    mail: Mail,
    quotas: Quotas,
    unlink: Unlink,
    /// Of anonymous questions that are being sealed: the last user on the roll that this process has
    /// stored anew.
    unlinked: Arc<Mutex<HashMap<Uuid, Uuid>>>,
}

/// How many questions [`Questions::create_all`] takes: SQLite's statements have room for 32,766
/// values.
pub const MAX_AT_ONCE: usize = 50;

impl Questions {
    pub fn new(
        db: Db,
        clock: Clock,
        share: Share,
        mail: Mail,
        quotas: Quotas,
        unlink: Unlink,
    ) -> Questions {
        Questions {
            db,
            clock,
            share,
            mail,
            quotas,
            unlink,
            unlinked: Arc::default(),
        }
    }

    /// The verbs for what an operator does, which no quota limits.
    pub fn without_quotas(self) -> Questions {
        Questions {
            quotas: Quotas::UNLIMITED,
            ..self
        }
    }

    /// Asks a question, with its choices, all or nothing. [`Code::QuotaExceeded`], and
    /// [`Code::MailNotConfigured`] where nobody could verify an address to vote.
    pub async fn create(&self, author: Uuid, draft: &Draft) -> Result<Uuid, Failure> {
        let new = New::of(author, draft, self.clock.now())?;
        self.require_voters(new.question.electorate)?;
        let (new, used) = (&new, Use::of_draft(draft));
        self.db
            .write(|transaction| async move {
                let now = self.clock.now();
                self.quotas.charge(&transaction, author, used, now).await?;
                insert(&transaction, &self.clock, std::slice::from_ref(new)).await
            })
            .await?;
        Ok(new.question.id)
    }

    /// Asks up to [`MAX_AT_ONCE`] questions, each with its author, all or nothing, without quotas.
    pub async fn create_all(
        &self,
        drafts: impl IntoIterator<Item = (Uuid, Draft)>,
    ) -> Result<Vec<Uuid>, Failure> {
        let now = self.clock.now();
        let new = drafts
            .into_iter()
            .map(|(author, draft)| New::of(author, &draft, now));
        let new = &new.collect::<Result<Vec<New>, Failure>>()?;
        self.db
            .write(|transaction| async move { insert(&transaction, &self.clock, new).await })
            .await?;
        Ok(new.iter().map(|new| new.question.id).collect())
    }

    /// What an account has used of its quotas, if anything was counted.
    pub async fn usage(&self, author: Uuid) -> Result<Option<usage::Model>, Failure> {
        Ok(usage::Entity::find_by_id(author)
            .one(self.db.read())
            .await?)
    }

    /// Changes a question. Once a ballot exists, only its description, its end and whether it is
    /// listed can be changed.
    pub async fn update(
        &self,
        caller: Caller,
        id: Uuid,
        if_match: &IfMatch,
        patch: &QuestionPatch,
    ) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let before = lock_out_ballots(&transaction, caller, id, if_match).await?;
                let now = self.clock.now();
                let mut after = patch.applied_to(&before);
                if after == before {
                    return Ok(());
                }
                if after.electorate != before.electorate {
                    self.require_voters(after.electorate)?;
                }
                if after.closes_at != before.closes_at && before.status(now) == Status::Closed {
                    let detail = "Reopen the question to give it another end.";
                    return Err(closed(&before).detail(detail));
                }
                let has_other_rules = VotingRules::of(&after) != VotingRules::of(&before);
                if has_other_rules && slot::has_ballots(&transaction, id).await? {
                    return Err(has_ballots_failure());
                }
                let choices = choices::numbered(&transaction, id).await?;
                let errors = draft::contradictions_of_change(&before, &after, choices.len(), now);
                if !errors.is_empty() {
                    return Err(Failure::invalid(errors));
                }
                // A question of the version before has none.
                after.lot_seed = after.lot_seed.or_else(|| Some(Seed::draw()));
                let used = Use::of_change(&before, &after);
                self.quotas
                    .charge(&transaction, before.author_id, used, now)
                    .await?;
                let has_other_terms =
                    after.question_text != before.question_text || after.listed != before.listed;
                if has_other_terms {
                    term::update(&transaction, &after, &choices).await?;
                }
                save(&transaction, after, now).await
            })
            .await?;
        self.share.tell_of_question(id);
        Ok(())
    }

    /// Refuses an electorate that would be empty: without mail nobody can verify an address.
    fn require_voters(&self, electorate: Electorate) -> Result<(), Failure> {
        match electorate {
            Electorate::Verified if !self.mail.is_configured() => {
                let detail = "This server sends no mail, so nobody can verify an email address to \
                              vote on this question.";
                Err(Failure::new(Code::MailNotConfigured, detail))
            }
            _ => Ok(()),
        }
    }
}

/// A question that is not stored yet.
struct New {
    question: Question,
    choices: Vec<choice::Model>,
    terms: BTreeSet<String>,
}

impl New {
    fn of(author: Uuid, draft: &Draft, now: Time) -> Result<New, Failure> {
        let question = draft.question(author, now);
        input::check(draft, |draft| {
            let mut errors = draft.repeated_choices();
            // That there are too few is a mistake by itself.
            let choices = draft.choices.len().max(draft::MIN_CHOICES);
            errors.extend(draft::contradictions(&question, choices, now));
            errors
        })?;
        let choices = (0..)
            .zip(&draft.choices)
            .map(|(position, choice)| choice::Model {
                id: now.new_id(),
                question_id: question.id,
                choice_text: choice.choice_text.to_string(),
                position,
                ordinal: Some(position),
            });
        let choices: Vec<choice::Model> = choices.collect();
        Ok(New {
            terms: term::of(&question, &choices),
            choices,
            question,
        })
    }
}

async fn insert(transaction: &Transaction, clock: &Clock, new: &[New]) -> Result<(), Failure> {
    // Created now, not when the request came in: a client that pages through the newest questions
    // must not miss one that was committed late.
    let new: Vec<(&New, Time)> = new.iter().map(|new| (new, clock.now())).collect();
    let questions = new.iter().map(|&(new, now)| {
        let mut row = new.question.clone();
        (row.created_at, row.updated_at) = (now, now);
        row.into_active_model()
    });
    entity::Entity::insert_many(questions)
        .exec_without_returning(transaction)
        .await?;
    let choices = new.iter().flat_map(|(new, _)| &new.choices).cloned();
    choice::Entity::insert_many(choices.map(choice::Model::into_active_model))
        .exec_without_returning(transaction)
        .await?;
    let terms = new
        .iter()
        .flat_map(|&(new, now)| term::rows(new.question.id, now, new.terms.iter().cloned()));
    Ok(term::insert(transaction, terms).await?)
}

/// Locks the question for a change by its author or an admin. A deleted question cannot be
/// changed.
pub async fn lock_for_change(
    transaction: &Transaction,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Question, Failure> {
    let question = existing(lock_owned(transaction, caller, id).await?)?;
    if_match.check(question.revision)?;
    Ok(question)
}

/// The question, for its author or an admin, without a lock: for a change of something else that
/// belongs to it. A deleted question has none.
pub async fn find_for_change(
    connection: &impl ConnectionTrait,
    caller: Caller,
    id: Uuid,
) -> Result<Question, Failure> {
    let question = entity::Entity::find_by_id(id).one(connection).await?;
    existing(owned(question, caller)?)
}

fn existing(question: Question) -> Result<Question, Failure> {
    match question.deleted_at {
        None => Ok(question),
        Some(_) => {
            let detail = "The question is deleted; restore it first.";
            Err(Failure::new(Code::NotFound, detail))
        }
    }
}

/// Locks the question, deleted or not, for its author or an admin.
async fn lock_owned(
    transaction: &Transaction,
    caller: Caller,
    id: Uuid,
) -> Result<Question, Failure> {
    let question = db::lock(transaction, entity::Entity::find_by_id(id));
    owned(question.one(transaction).await?, caller)
}

fn owned(question: Option<Question>, caller: Caller) -> Result<Question, Failure> {
    let question = question.ok_or_else(not_found)?;
    if question.may_be_changed_by(caller) {
        Ok(question)
    } else if question.deleted_at.is_some() {
        Err(not_found())
    } else {
        let detail = "Only the author of a question, or an admin, may change it.";
        Err(Failure::new(Code::Forbidden, detail))
    }
}

/// Locks the question for a change that ballots may forbid: no ballot is counted until the commit.
async fn lock_out_ballots(
    transaction: &Transaction,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Question, Failure> {
    lock_for_change(transaction, caller, id, if_match).await?;
    slot::take_all(transaction, id).await?;
    // The question may have changed while this transaction waited for the slots.
    lock_for_change(transaction, caller, id, if_match).await
}

/// Stores a changed question as its next revision. If another transaction has stored a revision
/// meanwhile, this one is retried.
pub(crate) async fn save(
    transaction: &Transaction,
    mut question: Question,
    now: Time,
) -> Result<(), Failure> {
    let (id, seen) = (question.id, question.revision);
    question.closes_order = entity::closes_order(question.closes_at);
    question.revision += 1;
    question.updated_at = now;
    let stored = entity::Entity::update_many()
        .set(question.into_active_model().reset_all())
        .filter(entity::Column::Id.eq(id))
        .filter(entity::Column::Revision.eq(seen))
        .exec(transaction)
        .await?;
    if stored.rows_affected == 0 {
        return Err(DbErr::RecordNotUpdated.into());
    }
    Ok(())
}

pub fn not_found() -> Failure {
    Failure::not_found("question")
}

pub fn has_ballots_failure() -> Failure {
    Failure::new(
        Code::HasBallots,
        "People have voted already; description, closes_at, listed and the choices' positions can still be changed.",
    )
}

/// The refusal of a ballot at `now`; none while voting is open.
pub fn not_open(question: &Question, now: Time) -> Option<Failure> {
    match question.status(now) {
        Status::Open => None,
        Status::Closed => Some(closed(question)),
        Status::Scheduled => {
            let opens_at = question
                .opens_at
                .map(|time| time.to_string())
                .unwrap_or_default();
            let detail = format!("Voting on this question opens at {opens_at}.");
            Some(Failure::new(Code::VotingNotOpen, detail))
        }
    }
}

/// [`Code::VotingClosed`].
pub fn closed(question: &Question) -> Failure {
    let ended_at = question
        .ended_at()
        .map(|time| time.to_string())
        .unwrap_or_default();
    Failure::new(
        Code::VotingClosed,
        format!("Voting on this question closed at {ended_at}."),
    )
}

/// What people rely on when they vote: it cannot be changed once somebody has.
#[derive(PartialEq)]
struct VotingRules<'a> {
    question_text: &'a str,
    counting: (Method, i32, TieBreak, Option<i32>, Option<Threshold>),
    ballots: (i32, Option<i32>, Option<i32>),
    allows_change: bool,
    results_visibility: Visibility,
    electorate: (Electorate, Option<i32>),
    ballot_secrecy: BallotSecrecy,
    opens_at: Option<Time>,
}

impl VotingRules<'_> {
    fn of(question: &Question) -> VotingRules<'_> {
        VotingRules {
            question_text: &question.question_text,
            counting: (
                question.method,
                question.seats,
                question.effective_tie_break(),
                question.quorum,
                question.threshold,
            ),
            ballots: (question.min_choices, question.limit(), question.max_score),
            allows_change: question.allows_change(),
            results_visibility: question.results_visibility,
            electorate: (question.electorate, question.ballots_per_address),
            ballot_secrecy: question.ballot_secrecy,
            opens_at: question.opens_at,
        }
    }
}
