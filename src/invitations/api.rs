//! `/questions/{id}/invitations`, and refusing invitations by mail.

use std::collections::HashSet;

use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::entity::Model;
use super::{Invitations, Invitee, Issued, MAX_AT_ONCE, repeated_address};
use crate::auth::guard::SignedIn;
use crate::clock::Time;
use crate::failure::{FieldError, Rule};
use crate::http::API;
use crate::http::body::{Body, Unchecked};
use crate::http::policy::{Links, operations};
use crate::http::refused::Refused;
use crate::http::reply::{Answered, CreatedList, Done};
use crate::http::spec::Tag;
use crate::input::{Line, Number, exact, present};
use crate::language::Language;
use crate::page::{PageMeta, Paging};
use crate::rendered::Rendered;
use crate::users::email::{self, Email};

/// The largest body in bytes of a call that makes invitations: 320 for each of the most there may be.
const MAX_BODY: u64 = 320 * 1024;

/// The handlers of invitations.
pub struct InvitationsApi {
    pub invitations: Invitations,
}

operations! {
    CreateInvitations: Forbidden, EmailUnverified, NotFound, VotingClosed, NoInvitations, QuotaExceeded, MailNotConfigured, InvalidFields => {
        max_body: Some(MAX_BODY),
        links: Some(Links {
            status: 201,
            parameters: &[
                ("question_id", "$request.path.question_id"),
                ("invitation_id", "$response.body#/data/0/id"),
            ],
        }),
    };
    ListInvitations: MalformedRequest, Forbidden, NotFound;
    TakeBackInvitation: Forbidden, NotFound, InvitationFinal;
    RefuseInvitations: InvalidFields;
}

#[OpenApi]
impl InvitationsApi {
    /// Invite people to vote
    ///
    /// For questions with the `electorate` `invited` (409 `no_invitations`), by their author or an
    /// admin. Makes up to 1,000 invitations and answers with their codes, which are shown this once:
    /// the server keeps only hashes of them. A code is exchanged for tokens with `issueToken`, and
    /// whoever has it has its vote. Send either `invitations` or `count`. The body may have up to
    /// 320 KiB.
    ///
    /// An invitation with `email` is only mailed, in the language of this request, and its code is in
    /// no answer. That needs a verified email address of your own (403 `email_unverified`), and how
    /// many an account sends in a day is limited (409 `quota_exceeded`). A question has at most one
    /// invitation for each address (422 `unique`). Whoever has refused invitations by mail, or has got
    /// too many within a day, gets none; you are not told.
    ///
    /// Sent twice: makes twice as many invitations, but by mail the second is 422 `unique`. If an answer
    /// with codes got lost, take those invitations back.
    #[oai(
        path = "/questions/:question_id/invitations",
        method = "post",
        operation_id = "createInvitations",
        tag = Tag::Invitations
    )]
    async fn create(
        &self,
        language: Language,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        body: Unchecked<InvitationsInput>,
    ) -> Result<CreatedList<InvitationsWithCodes>, Refused<CreateInvitations>> {
        let invitees = body.check(InvitationsInput::mistakes)?.invitees();
        let (caller, question) = (signed_in.caller, question_id.0);
        let issued = self
            .invitations
            .invite(caller, question, &invitees, language);
        let new = InvitationsWithCodes {
            data: issued
                .await?
                .into_iter()
                .map(InvitationWithCode::of)
                .collect(),
        };
        let location = format!("{API}/questions/{question}/invitations");
        Ok(CreatedList::new(Rendered::plain(&new)?, location))
    }

    /// List invitations
    ///
    /// For the author of the question and admins, newest first, without the codes.
    #[oai(
        path = "/questions/:question_id/invitations",
        method = "get",
        operation_id = "listInvitations",
        tag = Tag::Invitations
    )]
    async fn list(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        page: Paging,
    ) -> Result<Answered<InvitationPage>, Refused<ListInvitations>> {
        let scope = format!("invitations to {}", question_id.0);
        let page = page.of(&scope)?;
        let listed = self.invitations.list(signed_in.caller, question_id.0, page);
        let (page, shows_use) = listed.await?;
        let page = InvitationPage {
            data: page
                .items
                .into_iter()
                .map(|invitation| Invitation::of(invitation, shows_use))
                .collect(),
            meta: PageMeta::new(page.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Take back an invitation
    ///
    /// Its code is void then, and its message is not sent if it has not been. An invitation that was
    /// used cannot be taken back (409 `invitation_final`).
    #[oai(
        path = "/questions/:question_id/invitations/:invitation_id",
        method = "delete",
        operation_id = "takeBackInvitation",
        tag = Tag::Invitations
    )]
    async fn take_back(
        &self,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The invitation.
        invitation_id: Path<Uuid>,
    ) -> Result<Done, Refused<TakeBackInvitation>> {
        let taken_back =
            self.invitations
                .take_back(signed_in.caller, question_id.0, invitation_id.0);
        taken_back.await?;
        Ok(Done)
    }

    /// Refuse all invitations by mail
    ///
    /// Takes the token after `#` in the second link of an invitation by mail. From then on this server
    /// sends no invitation to that address, whoever invites; of the address itself it keeps a keyed
    /// hash. The codes that were sent stay as they are.
    ///
    /// Sent twice: the second changes nothing.
    #[oai(
        path = "/invitations/refusals",
        method = "post",
        operation_id = "refuseInvitations",
        tag = Tag::Invitations
    )]
    async fn refuse(&self, body: Body<RefusalInput>) -> Result<Done, Refused<RefuseInvitations>> {
        self.invitations.refuse(&body.0.token).await?;
        Ok(Done)
    }
}

/// Who is invited: `invitations` or `count`.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "not_too_many", skip_on_field_errors = false))]
struct InvitationsInput {
    /// 1 to 1,000 invitations, with different email addresses.
    #[oai(validator(min_items = 1, max_items = 1000))]
    #[serde(default, deserialize_with = "exact::objects_if_present")]
    #[validate(nested)]
    invitations: Option<Vec<InvitationInput>>,
    /// How many invitations without labels.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    count: Option<Number<1, { MAX_AT_ONCE as i32 }>>,
}

/// One invitation.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
struct InvitationInput {
    /// For whom it is, for you to tell them apart. The author of the question and admins see it; with
    /// `public` ballots it is the name of the voter, which all see who may see the results.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    label: Option<Line<1, 100>>,
    /// Where the code is sent.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    email: Option<Email>,
}

fn not_too_many(input: &InvitationsInput) -> Result<(), ValidationError> {
    let count = input.invitations.as_ref().map_or(1, Vec::len);
    if (1..=MAX_AT_ONCE).contains(&count) {
        return Ok(());
    }
    let mut error = ValidationError::new("length");
    error.add_param("at".into(), &"/invitations");
    let message = format!("must have 1 to {MAX_AT_ONCE} items");
    Err(error.with_message(message.into()))
}

impl InvitationsInput {
    /// What is missing, is one too many, or is there twice.
    fn mistakes(&self) -> Vec<FieldError> {
        match (&self.invitations, &self.count) {
            (Some(invitations), None) => repeated_addresses(invitations),
            (None, Some(_)) => Vec::new(),
            (None, None) => {
                let message = "is required, or `count`";
                vec![FieldError::new("/invitations", Rule::Required, message)]
            }
            (Some(_), Some(_)) => {
                let message = "must not be given beside `invitations`";
                vec![FieldError::new("/count", Rule::Conflict, message)]
            }
        }
    }

    fn invitees(self) -> Vec<Invitee> {
        let labelled = self.invitations.unwrap_or_default().into_iter();
        let labelled = labelled.map(|invitation| Invitee {
            label: invitation.label.map(|label| label.to_string()),
            email: invitation.email.map(Email::into_string),
        });
        let count = self.count.map_or(0, |count| count.0);
        let unlabelled = (0..count).map(|_| Invitee::default());
        labelled.chain(unlabelled).collect()
    }
}

fn repeated_addresses(invitations: &[InvitationInput]) -> Vec<FieldError> {
    let mut known = HashSet::new();
    let addresses = invitations.iter().map(|invitation| &invitation.email);
    let repeated = addresses.enumerate().filter(|(_, address)| {
        let key = address.as_ref().map(|address| email::key(address.as_str()));
        key.is_some_and(|key| !known.insert(key))
    });
    repeated.map(|(index, _)| repeated_address(index)).collect()
}

impl Example for InvitationsInput {
    fn example() -> Self {
        let invitation = InvitationInput {
            label: Some(Line::new("Room 12")),
            email: None,
        };
        InvitationsInput {
            invitations: Some(vec![invitation]),
            count: None,
        }
    }
}

/// Invitations that were made.
#[derive(Object, Serialize)]
#[oai(example)]
struct InvitationsWithCodes {
    /// The invitations, in the order of the request.
    data: Vec<InvitationWithCode>,
}

/// An invitation that was made.
#[derive(Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
struct InvitationWithCode {
    /// The invitation's id.
    id: Uuid,
    /// For whom it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Where the code is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The code, which is shown this once; absent where it is sent by mail. Case, hyphens and spaces
    /// do not matter, and I, L and O are read as 1, 1 and 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl InvitationWithCode {
    fn of(issued: Issued) -> InvitationWithCode {
        let Model {
            id, label, email, ..
        } = issued.invitation;
        InvitationWithCode {
            id,
            label,
            email,
            code: issued.code,
        }
    }
}

impl Example for InvitationsWithCodes {
    fn example() -> Self {
        let Invitation { id, label, .. } = Invitation::example();
        let invitation = InvitationWithCode {
            id,
            label,
            email: None,
            code: Some("7Q2MX-C0V9R-4T8BW-KZ1YN-6DHJPA".into()),
        };
        InvitationsWithCodes {
            data: vec![invitation],
        }
    }
}

/// A page of invitations.
#[derive(Object, Serialize)]
#[oai(example)]
struct InvitationPage {
    /// The invitations of this page, newest first.
    data: Vec<Invitation>,
    meta: PageMeta,
}

impl Example for InvitationPage {
    fn example() -> Self {
        InvitationPage {
            data: vec![Invitation::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

/// An invitation.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct Invitation {
    /// The invitation's id.
    id: Uuid,
    /// For whom it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Where the code is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// When it was made.
    created_at: Time,
    /// Whether its code was exchanged for tokens. Absent while it could tell what somebody voted: with
    /// `secret` ballots until the close and after a reopening.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<bool>,
}

impl Invitation {
    fn of(invitation: Model, shows_use: bool) -> Invitation {
        Invitation {
            id: invitation.id,
            used: shows_use.then_some(invitation.user_id.is_some()),
            label: invitation.label,
            email: invitation.email,
            created_at: invitation.created_at,
        }
    }
}

impl Example for Invitation {
    fn example() -> Self {
        Invitation {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            label: Some("Room 12".into()),
            email: None,
            created_at: Time(1_776_282_436_000_000),
            used: Some(true),
        }
    }
}

/// Proof that whoever sends it has got an invitation by mail.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct RefusalInput {
    /// The token of the link.
    #[validate(nested)]
    token: Line<1, 100>,
}

impl Example for RefusalInput {
    fn example() -> Self {
        let token = "3q2-7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ow";
        RefusalInput {
            token: Line::new(token),
        }
    }
}
