use std::collections::HashSet;

use super::*;
use crate::page::PageRequest;
use crate::users::entity as users_entity;

/// The claim of a token by which the version before tells accounts apart. It knows `user` and `admin`,
/// and refuses others.
fn role_of(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["role"].clone()
}

#[tokio::test]
async fn tokens_of_guests_say_so_and_minting_tells_them_from_accounts() {
    let (_cluster, process) = Cluster::new().await;
    let account = user(&process, "luxi").await;
    let made = process.accounts.make_guest(None, None, nowhere()).await;
    let (guest, granted) = made.unwrap();
    assert_eq!(role_of(&granted.access_token), "guest");
    let refreshed = process.tokens.refresh(&granted.refresh_token).await;
    assert_eq!(role_of(&refreshed.unwrap().access_token), "guest");
    for (standing, id, role) in [
        (Standing::Guest, guest, "guest"),
        (Standing::User, account.id, "user"),
    ] {
        let mut minted = Vec::new();
        let all = process.tokens.mint_all(standing, MINUTE, |token| {
            minted.push((token.user_id, role_of(&token.access_token)));
            Ok::<(), Failure>(())
        });
        all.await.unwrap();
        assert_eq!(minted, [(id, serde_json::json!(role))]);
    }
}

async fn mint_all(process: &Process, ttl: Duration) -> Vec<(Uuid, String)> {
    let mut minted = Vec::new();
    let all = process.tokens.mint_all(Standing::User, ttl, |token| {
        minted.push((token.user_id, token.access_token));
        Ok::<(), Failure>(())
    });
    all.await.unwrap();
    minted
}

#[tokio::test]
async fn a_minted_token_works_until_it_is_revoked_or_expires() {
    let (cluster, process) = Cluster::new().await;
    let admin = admin(&process, "luxi").await;
    let hour = 60 * MINUTE;
    let minted = process.tokens.mint(admin.id, hour).await.unwrap();
    let caller = process
        .tokens
        .authenticate(&minted.access_token)
        .await
        .unwrap();
    assert!(caller.caller.is_admin() && caller.caller.id == admin.id);
    let sessions = process
        .tokens
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

    cluster.clock.advance(hour - 2 * SECOND);
    process
        .tokens
        .authenticate(&minted.access_token)
        .await
        .unwrap();
    process.tokens.end_all_sessions(&caller).await.unwrap();
    assert_eq!(
        code(process.tokens.authenticate(&minted.access_token).await),
        Code::Unauthenticated
    );
    assert_eq!(
        code(process.tokens.mint(Uuid::nil(), hour).await),
        Code::NotFound
    );
}

#[tokio::test]
async fn all_means_every_active_account_but_the_admins() {
    let (_cluster, process) = Cluster::new().await;
    admin(&process, "admin").await;
    let (luxi, nanxi) = (user(&process, "luxi").await, user(&process, "nanxi").await);
    user(&process, "xueling").await;
    let disabled = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    set_access(&process, "xueling@example.org", disabled).await;

    let minted = mint_all(&process, MINUTE).await;
    let users: HashSet<Uuid> = minted.iter().map(|(user, _)| *user).collect();
    assert_eq!(users, HashSet::from([luxi.id, nanxi.id]));
    assert_eq!(minted.len(), 2);
    for (user, token) in &minted {
        assert_eq!(
            process.tokens.authenticate(token).await.unwrap().caller.id,
            *user
        );
    }
}

#[tokio::test]
async fn minting_goes_on_over_many_batches() {
    use sea_orm::{EntityTrait as _, IntoActiveModel as _};
    let (_cluster, process) = Cluster::new().await;
    let one = user(&process, "one").await;
    let more = (0..2500).map(|_| {
        let id = process.clock.now().new_id();
        Account {
            id,
            email_key: None,
            ..one.clone()
        }
        .into_active_model()
    });
    let db = &process.db;
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
    let minted = mint_all(&process, MINUTE).await;
    assert_eq!(minted.len(), 2501);
    assert!(minted.is_sorted_by(|(a, _), (b, _)| a < b));
}
