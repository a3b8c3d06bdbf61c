//! Which invitations are kept about somebody.

use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::entity::{Column, Entity, Model};
use crate::page::{Cursor, Page, PageRequest};

/// A page of the invitations that an account has made, newest first.
pub async fn made_by(
    connection: &impl ConnectionTrait,
    account: Uuid,
    page: PageRequest,
) -> Result<Page<Model>, DbErr> {
    let made = Entity::find().filter(Column::InvitedBy.eq(account));
    let columns = (Column::CreatedAt, Column::Id);
    let cursor = |invitation: &Model| Cursor {
        key: invitation.created_at.0,
        id: invitation.id,
    };
    page.newest_first(connection, made, columns, cursor).await
}

/// The invitation by which a guest votes.
pub async fn used_by(
    connection: &impl ConnectionTrait,
    guest: Uuid,
) -> Result<Option<Model>, DbErr> {
    let used = Entity::find().filter(Column::UserId.eq(guest));
    used.one(connection).await
}
