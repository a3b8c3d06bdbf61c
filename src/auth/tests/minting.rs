use std::collections::HashSet;

use super::*;
use crate::page::PageRequest;
use crate::users::{Standing, entity as users_entity};

async fn mint_all(authority: &Authority, ttl: Duration) -> Vec<(Uuid, String)> {
    let mut minted = Vec::new();
    let all = authority.mint_all(ttl, |token| {
        minted.push((token.user_id, token.access_token));
        Ok::<(), Failure>(())
    });
    all.await.unwrap();
    minted
}

#[tokio::test]
async fn a_minted_token_works_until_it_is_revoked_or_expires() {
    let (house, authority) = House::new().await;
    let admin = admin(&authority, "luxi").await;
    let hour = 60 * MINUTE;
    let minted = authority.mint("luxi@example.org", hour).await.unwrap();
    let caller = authority.authenticate(&minted.access_token).await.unwrap();
    assert!(caller.caller.is_admin() && caller.caller.id == admin.id);
    let sessions = authority
        .sessions(
            &caller,
            PageRequest {
                after: None,
                limit: 10,
            },
        )
        .await
        .unwrap()
        .items;
    assert_eq!(sessions[0].client.as_deref(), Some("polls token"));

    house.clock.advance(hour - 2 * SECOND);
    authority.authenticate(&minted.access_token).await.unwrap();
    authority.end_all_sessions(&caller).await.unwrap();
    assert_eq!(
        code(authority.authenticate(&minted.access_token).await),
        Code::Unauthenticated
    );
    assert_eq!(
        code(authority.mint("nobody@example.org", hour).await),
        Code::NotFound
    );
}

#[tokio::test]
async fn all_means_every_active_account_but_the_admins() {
    let (_house, authority) = House::new().await;
    admin(&authority, "admin").await;
    let (luxi, nanxi) = (
        user(&authority, "luxi").await,
        user(&authority, "nanxi").await,
    );
    user(&authority, "xueling").await;
    let disabled = Standing {
        disabled: Some(true),
        ..Standing::default()
    };
    authority
        .set_standing_by_hand("xueling@example.org", disabled)
        .await
        .unwrap();

    let minted = mint_all(&authority, MINUTE).await;
    let users: HashSet<Uuid> = minted.iter().map(|(user, _)| *user).collect();
    assert_eq!(users, HashSet::from([luxi.id, nanxi.id]));
    assert_eq!(minted.len(), 2);
    for (user, token) in &minted {
        assert_eq!(
            authority.authenticate(token).await.unwrap().caller.id,
            *user
        );
    }
}

#[tokio::test]
async fn minting_goes_on_over_many_batches() {
    use sea_orm::{EntityTrait as _, IntoActiveModel as _};
    let (_house, authority) = House::new().await;
    let one = user(&authority, "one").await;
    let more = (0..2500).map(|_| {
        let id = authority.now().new_id();
        Account {
            id,
            email_key: None,
            ..one.clone()
        }
        .into_active_model()
    });
    let db = authority.db();
    let rows: Vec<_> = more.collect();
    let rows = &rows;
    let stored = db.write(|transaction| async move {
        for rows in rows.chunks(500) {
            let insert = users_entity::Entity::insert_many(rows.to_vec());
            insert.exec_without_returning(&transaction).await?;
        }
        Ok(())
    });
    stored.await.unwrap();
    let minted = mint_all(&authority, MINUTE).await;
    assert_eq!(minted.len(), 2501);
    assert!(minted.is_sorted_by(|(a, _), (b, _)| a < b));
}
