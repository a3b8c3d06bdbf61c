//! Exchanging the code of an invitation for tokens.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _,
};

use super::entity::{Entity, Model};
use super::{Invitations, code};
use crate::auth::tokens::grant::{GrantFailure, TokenResponse};
use crate::db::{self, Transaction};
use crate::failure::Failure;
use crate::network::Network;
use crate::questions::entity as questions;
use crate::questions::{Electorate, Question};

impl Invitations {
    /// Begins a session of the guest of an invitation, who is made at the first use of its code.
    /// [`Code::RateLimited`](crate::failure::Code::RateLimited) after too many wrong codes or failed
    /// sign-ins from this network.
    pub async fn exchange(
        &self,
        typed: &str,
        client: Option<&str>,
        network: Network,
    ) -> Result<TokenResponse, GrantFailure> {
        self.accounts.admit_code(network).await?;
        let hash = &code::hash(typed);
        // Without a transaction, so that wrong codes hold up no writer.
        let known = code::Entity::find_by_id(hash.clone()).one(self.db.read());
        let granted = match known.await? {
            Some(_) => self.try_exchange(hash, client).await?,
            None => None,
        };
        if let Some(granted) = granted {
            return Ok(granted);
        }
        self.accounts.count_wrong_code(network).await;
        Err(GrantFailure::InvalidGrant)
    }

    /// None where the code is void.
    async fn try_exchange(
        &self,
        hash: &[u8],
        client: Option<&str>,
    ) -> Result<Option<TokenResponse>, Failure> {
        let begun = self.db.write(|transaction| async move {
            let Some((invitation, question)) = find(&transaction, hash).await? else {
                return Ok(None);
            };
            let (guest, since) = (invitation.user_id, question.created_at);
            let guest = self.accounts.invited_guest(&transaction, guest, since);
            // None where the guest was removed. There is no second one for the same invitation.
            let Some(guest) = guest.await? else {
                return Ok(None);
            };
            if invitation.user_id.is_none() {
                let mut used = invitation.into_active_model();
                used.user_id = Set(Some(guest.id));
                used.update(&transaction).await?;
            }
            let now = self.clock.now();
            let begun = self.tokens.begin_session(&transaction, &guest, client, now);
            let (granted, revoked) = begun.await?;
            Ok(Some((granted, revoked, question.id)))
        });
        Ok(begun.await?.map(|(granted, revoked, question)| {
            self.tokens.announce(&revoked);
            TokenResponse {
                question_id: Some(question),
                ..granted
            }
        }))
    }
}

/// The invitation with this code, locked, and its question, unless one of them is void.
async fn find(
    transaction: &Transaction,
    hash: &[u8],
) -> Result<Option<(Model, Question)>, Failure> {
    let code = code::Entity::find_by_id(hash.to_vec());
    let Some(code) = code.one(transaction).await? else {
        return Ok(None);
    };
    // Of several who use a code at once, one makes the guest.
    let invitation = db::lock(transaction, Entity::find_by_id(code.invitation_id));
    let Some(invitation) = invitation.one(transaction).await? else {
        return Ok(None);
    };
    let question = question_of(transaction, &invitation).await?;
    Ok(question.map(|question| (invitation, question)))
}

/// The question of an invitation, unless it is deleted or not for invited voters any more.
pub(super) async fn question_of(
    connection: &impl ConnectionTrait,
    invitation: &Model,
) -> Result<Option<Question>, Failure> {
    let question = questions::Entity::find_by_id(invitation.question_id)
        .filter(questions::Column::DeletedAt.is_null())
        .filter(questions::Column::Electorate.eq(Electorate::Invited));
    Ok(question.one(connection).await?)
}
