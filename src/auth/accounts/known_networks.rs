//! Networks that an account has signed in from. The limit on failed sign-ins of an account from all
//! addresses together does not apply to them, so that strangers cannot lock the owner out.

use std::time::Duration;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::Accounts;
use super::known_network::{Column, Entity, Model};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::Failure;
use crate::network::Network;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long a network is known after a sign-in.
const KNOWN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Accounts {
    /// Whether the account has signed in from this network within the last 30 days. Queries the
    /// database even where there is no account, so that the response time does not tell.
    pub(super) async fn knows_network(
        &self,
        user: Option<Uuid>,
        network: Network,
    ) -> Result<bool, Failure> {
        let user = user.unwrap_or_default();
        let row = Entity::find_by_id((user, self.hmac_keys.network(user, network)));
        let row = row.one(self.db.read()).await?;
        let since = self.clock.now().before(KNOWN);
        Ok(row.is_some_and(|row| row.seen_at > since && network.is_known()))
    }

    /// Notes a sign-in, unless one from there was noted within the last day.
    pub(super) async fn note_network(
        &self,
        transaction: &Transaction,
        user: Uuid,
        network: Network,
        now: Time,
    ) -> Result<(), Failure> {
        if !network.is_known() {
            return Ok(());
        }
        let network = self.hmac_keys.network(user, network);
        let noted = Entity::find_by_id((user, network.clone()));
        let noted = noted.one(transaction).await?;
        if noted.is_some_and(|noted| noted.seen_at > now.before(DAY)) {
            return Ok(());
        }
        let row = Model {
            user_id: user,
            network,
            seen_at: now,
        };
        let replaced = OnConflict::columns([Column::UserId, Column::Network])
            .update_column(Column::SeenAt)
            .to_owned();
        Entity::insert(row.into_active_model())
            .on_conflict(replaced)
            .exec_without_returning(transaction)
            .await?;
        Ok(())
    }

    /// Some of the networks of an account, after the one with this hash; and the hash after which there
    /// may be more.
    pub async fn known_networks(
        &self,
        user: Uuid,
        after: Option<Vec<u8>>,
    ) -> Result<(Vec<Model>, Option<Vec<u8>>), Failure> {
        /// How many are read at once.
        const ROWS: u64 = 1_000;
        let networks = Entity::find()
            .filter(Column::UserId.eq(user))
            .filter(Column::Network.gt(after.unwrap_or_default()))
            .order_by_asc(Column::Network)
            .limit(ROWS);
        let networks = networks.all(self.db.read()).await?;
        let last = networks.last().filter(|_| networks.len() as u64 == ROWS);
        let last = last.map(|last| last.network.clone());
        Ok((networks, last))
    }

    /// Removes networks that have not been used for 30 days.
    pub(super) async fn sweep_networks(&self, now: Time) -> Result<(), Failure> {
        let old = Column::SeenAt.lte(now.before(KNOWN));
        let old = Condition::all().add(old);
        db::sweep::<Entity, Vec<u8>>(&self.db, Column::Network, old).await
    }
}

/// Forgets all networks of an account.
pub(super) async fn forget(transaction: &Transaction, user: Uuid) -> Result<(), Failure> {
    let of_user = Entity::delete_many().filter(Column::UserId.eq(user));
    of_user.exec(transaction).await?;
    Ok(())
}
