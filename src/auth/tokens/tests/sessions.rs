use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};

use super::*;
use crate::auth::hmac_key;
use crate::auth::tokens::{CLOCK_SKEW, refresh_token, revocation, session};
use crate::page::{Page, PageRequest};
use crate::share::News;

#[tokio::test]
async fn a_refresh_token_has_one_successor() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let first = sign_in(&process, "luxi").await;
    let second = process.tokens.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    let tokens = async || {
        let tokens = refresh_token::Entity::find().count(process.db.read());
        tokens.await.unwrap()
    };
    assert_eq!(tokens().await, 2);

    // Two tabs, or lost replies: whoever repeats it gets the same.
    for _ in 0..18 {
        cluster.clock.advance(SECOND);
        let again = process.tokens.refresh(&first.refresh_token).await.unwrap();
        assert_eq!(again.refresh_token, second.refresh_token);
        caller(&process, &again).await;
    }
    assert_eq!(tokens().await, 2);

    // One line goes on, also while its beginning is repeated.
    let third = process.tokens.refresh(&second.refresh_token).await.unwrap();
    let again = process.tokens.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token);
    let again = process.tokens.refresh(&again.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, third.refresh_token);
    let fourth = process.tokens.refresh(&third.refresh_token).await.unwrap();
    assert_eq!(tokens().await, 4);

    cluster.clock.advance(31 * SECOND);
    assert_eq!(refusal(&process, &fourth).await, None);
    denied(process.tokens.refresh(&second.refresh_token).await);
    assert_eq!(refusal(&process, &fourth).await.as_deref(), Some(REVOKED));
    denied(process.tokens.refresh(&fourth.refresh_token).await);
}

#[tokio::test]
async fn uses_at_once_on_two_processes_get_one_successor() {
    let (cluster, one) = Cluster::new().await;
    let other = cluster.open(&[]).await.unwrap();
    user(&one, "luxi").await;
    let first = sign_in(&one, "luxi").await;
    let token = first.refresh_token.as_str();
    let (a, b) = tokio::join!(one.tokens.refresh(token), other.tokens.refresh(token));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.refresh_token, b.refresh_token);
    for granted in [&a, &b] {
        caller(&one, granted).await;
    }
    other.tokens.refresh(&a.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_token_that_the_version_before_has_used_ends_nothing_within_the_window() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let first = sign_in(&process, "luxi").await;
    let second = process.tokens.refresh(&first.refresh_token).await.unwrap();
    // That version stores when it was used, and nothing else.
    let forgotten = refresh_token::Entity::update_many().col_expr(
        refresh_token::Column::SuccessorSalt,
        Expr::value(None::<Vec<u8>>),
    );
    forgotten.exec(process.db.read()).await.unwrap();
    denied(process.tokens.refresh(&first.refresh_token).await);
    assert_eq!(refusal(&process, &second).await, None);
    cluster.clock.advance(31 * SECOND);
    denied(process.tokens.refresh(&first.refresh_token).await);
    assert_eq!(refusal(&process, &second).await.as_deref(), Some(REVOKED));
}

#[tokio::test]
async fn nothing_that_is_stored_opens_a_session() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let first = sign_in(&process, "luxi").await;
    let second = process.tokens.refresh(&first.refresh_token).await.unwrap();
    let rows = refresh_token::Entity::find().all(process.db.read());
    for row in rows.await.unwrap() {
        let salt = row.successor_salt.clone().unwrap_or_default();
        for bytes in [row.token_hash.clone(), salt] {
            let token = URL_SAFE_NO_PAD.encode(&bytes);
            assert!(token != first.refresh_token && token != second.refresh_token);
            denied(process.tokens.refresh(&token).await);
        }
    }
    let secrets = hmac_key::Entity::find().all(process.db.read());
    let shown = format!("{:?}", secrets.await.unwrap());
    assert!(shown.contains("KeyMaterial(…)"), "{shown}");
    assert_eq!(shown.matches("value").count(), 4);
}

#[tokio::test]
async fn an_account_has_no_more_sessions_than_it_may() {
    let (cluster, process) = Cluster::with(&[("auth.max_sessions", "3")]).await;
    let other = cluster.open(&[("auth.max_sessions", "3")]).await.unwrap();
    user(&process, "luxi").await;
    user(&process, "nanxi").await;
    let nanxi = sign_in(&process, "nanxi").await;
    let mut granted = Vec::new();
    for _ in 0..3 {
        granted.push(sign_in(&process, "luxi").await);
        cluster.clock.advance(SECOND);
    }
    // The first is used since, so the second was not used for longest.
    let first = process
        .tokens
        .refresh(&granted[0].refresh_token)
        .await
        .unwrap();
    cluster.clock.advance(SECOND);
    let last = sign_in(&process, "luxi").await;
    let ended = &granted[1];
    assert_eq!(refusal(&process, ended).await.as_deref(), Some(REVOKED));
    denied(process.tokens.refresh(&ended.refresh_token).await);
    other.tokens.catch_up().await.unwrap();
    assert_eq!(refusal(&other, ended).await.as_deref(), Some(REVOKED));
    for alive in [&first, &granted[2], &last, &nanxi] {
        assert_eq!(refusal(&process, alive).await, None);
        assert_eq!(refusal(&other, alive).await, None);
    }
    let of = caller(&process, &last).await;
    let first = PageRequest {
        after: None,
        limit: 10,
    };
    let sessions = process.tokens.sessions(&of, first).await.unwrap().items;
    assert_eq!(sessions.len(), 3);
}

#[tokio::test]
async fn late_reuse_ends_the_session_once_and_for_all_racers() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let stolen = sign_in(&process, "luxi").await;
    let honest = process.tokens.refresh(&stolen.refresh_token).await.unwrap();
    cluster.clock.advance(MINUTE);
    let (thief, owner) = tokio::join!(
        process.tokens.refresh(&stolen.refresh_token),
        process.tokens.refresh(&honest.refresh_token),
    );
    denied(thief);
    // The owner may come first, but what they got is dead as well.
    if let Ok(granted) = owner {
        assert_eq!(refusal(&process, &granted).await.as_deref(), Some(REVOKED));
        denied(process.tokens.refresh(&granted.refresh_token).await);
    }
    denied(process.tokens.refresh(&honest.refresh_token).await);
}

#[tokio::test]
async fn a_session_lasts_while_it_is_used() {
    let (cluster, process) = Cluster::with(&[("auth.refresh_token_ttl", "10d")]).await;
    user(&process, "luxi").await;
    let mut granted = sign_in(&process, "luxi").await;
    for _ in 0..3 {
        cluster.clock.advance(9 * 24 * 60 * MINUTE);
        granted = process
            .tokens
            .refresh(&granted.refresh_token)
            .await
            .unwrap();
    }
    cluster.clock.advance(10 * 24 * 60 * MINUTE);
    denied(process.tokens.refresh(&granted.refresh_token).await);
}

#[tokio::test]
async fn ending_a_session_is_felt_here_at_once_and_elsewhere_after_a_poll() {
    let (cluster, one) = Cluster::new().await;
    user(&one, "luxi").await;
    let other = cluster.open(&[]).await.unwrap();
    let granted = sign_in(&one, "luxi").await;
    let caller = caller(&other, &granted).await;
    assert_eq!(other.tokens.validity(&caller), Validity::Valid);

    one.tokens
        .end_session(&caller, caller.session_id)
        .await
        .unwrap();
    assert_eq!(refusal(&one, &granted).await.as_deref(), Some(REVOKED));
    denied(other.tokens.refresh(&granted.refresh_token).await);
    other.tokens.catch_up().await.unwrap();
    assert_eq!(refusal(&other, &granted).await.as_deref(), Some(REVOKED));
    assert_eq!(other.tokens.validity(&caller), Validity::Revoked);

    let late = cluster.open(&[]).await.unwrap();
    assert_eq!(refusal(&late, &granted).await.as_deref(), Some(REVOKED));
}

#[tokio::test]
async fn nobody_ends_the_sessions_of_others() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    user(&process, "nanxi").await;
    let (luxi, nanxi) = (
        sign_in(&process, "luxi").await,
        sign_in(&process, "nanxi").await,
    );
    let (mine, theirs) = (
        caller(&process, &luxi).await,
        caller(&process, &nanxi).await,
    );
    let ended = process.tokens.end_session(&mine, theirs.session_id).await;
    assert_eq!(code(ended), Code::NotFound);
    process.tokens.end_all_sessions(&mine).await.unwrap();
    assert_eq!(refusal(&process, &nanxi).await, None);
    assert_eq!(refusal(&process, &luxi).await.as_deref(), Some(REVOKED));
    assert_eq!(
        code(process.tokens.end_session(&mine, mine.session_id).await),
        Code::NotFound
    );
}

#[tokio::test]
async fn only_live_sessions_are_listed_page_by_page() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(caller(&process, &sign_in(&process, "luxi").await).await);
    }
    process
        .tokens
        .end_session(&callers[0], callers[1].session_id)
        .await
        .unwrap();
    let list = async |after| {
        let page = PageRequest { after, limit: 2 };
        process.tokens.sessions(&callers[0], page).await.unwrap()
    };
    let Page { items: page, next } = list(None).await;
    let Page {
        items: rest,
        next: end,
    } = list(next).await;
    let ids: Vec<Uuid> = page.iter().chain(&rest).map(|session| session.id).collect();
    assert_eq!(ids, [3, 2, 0].map(|index: usize| callers[index].session_id));
    assert_eq!(end, None);
    assert_eq!(page[0].client.as_deref(), Some("test"));
}

#[tokio::test]
async fn either_kind_of_token_revokes_its_session_and_others_do_nothing() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let (first, second) = (
        sign_in(&process, "luxi").await,
        sign_in(&process, "luxi").await,
    );
    process.tokens.revoke("nonsense").await.unwrap();
    process.tokens.revoke(&first.refresh_token).await.unwrap();
    process.tokens.revoke(&first.refresh_token).await.unwrap();
    assert_eq!(refusal(&process, &first).await.as_deref(), Some(REVOKED));
    assert_eq!(refusal(&process, &second).await, None);
    process.tokens.revoke(&second.access_token).await.unwrap();
    denied(process.tokens.refresh(&second.refresh_token).await);
}

#[tokio::test]
async fn without_a_current_list_nobody_is_let_in() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let granted = sign_in(&process, "luxi").await;
    // A list that has become too old is read before it is believed.
    process.tokens.freshness.pass(MINUTE);
    caller(&process, &granted).await;

    process.db.close().await;
    // What the system's clock says does not matter.
    cluster.clock.advance(MINUTE);
    caller(&process, &granted).await;
    process.tokens.freshness.pass(MINUTE);
    assert_eq!(
        code(process.tokens.authenticate(&granted.access_token).await),
        Code::Overloaded
    );
}

#[tokio::test]
async fn sweeping_removes_only_what_no_token_needs() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let ended = sign_in(&process, "luxi").await;
    let kept = sign_in(&process, "luxi").await;
    process.tokens.revoke(&ended.refresh_token).await.unwrap();
    let count = async || {
        let db = process.db.read();
        let sessions = session::Entity::find().count(db).await.unwrap();
        let listed = revocation::Entity::find().count(db).await.unwrap();
        let tokens = refresh_token::Entity::find().count(db).await.unwrap();
        (sessions, listed, tokens)
    };
    process.tokens.sweep().await.unwrap();
    assert_eq!(count().await, (2, 1, 2));
    // Longer than the tokens, by the clock of whatever process.
    cluster.clock.advance(15 * MINUTE);
    process.tokens.sweep().await.unwrap();
    assert_eq!(count().await, (2, 1, 2));
    cluster.clock.advance(CLOCK_SKEW);
    process.tokens.sweep().await.unwrap();
    assert_eq!(count().await, (1, 0, 1));
    process.tokens.refresh(&kept.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_sweep_lets_other_writers_in_between() {
    const SESSIONS: u64 = 1_500;
    let (cluster, process) = Cluster::new().await;
    let luxi = user(&process, "luxi").await;
    let now = process.clock.now();
    let row = || session::Model {
        id: now.new_id(),
        user_id: luxi.id,
        client: None,
        generation: 0,
        created_at: now,
        last_used_at: now,
        tokens_expire_at: now,
        expires_at: now,
        ended_at: None,
    };
    let rows: Vec<_> = (0..SESSIONS).map(|_| row().into_active_model()).collect();
    let db = &process.db;
    for rows in rows.chunks(500) {
        let insert = session::Entity::insert_many(rows.to_vec());
        insert.exec_without_returning(db.read()).await.unwrap();
    }
    cluster.clock.advance(CLOCK_SKEW);
    let counted = async || {
        let mut seen = Vec::new();
        while seen.last() != Some(&0) {
            let count = db.write(|transaction| async move {
                Ok(session::Entity::find().count(&transaction).await?)
            });
            seen.push(count.await.unwrap());
        }
        seen
    };
    let (swept, seen) = tokio::join!(process.tokens.sweep(), counted());
    swept.unwrap();
    let between = seen.iter().filter(|count| (1..SESSIONS).contains(*count));
    assert!(between.count() >= 2, "{seen:?}");
}

#[tokio::test]
async fn a_process_that_is_looked_after_hears_of_what_others_do() {
    let (cluster, one) = Cluster::with(&[("auth.revocation_poll_interval", "50ms")]).await;
    user(&one, "luxi").await;
    let granted = sign_in(&one, "luxi").await;
    let other = cluster
        .open(&[("auth.revocation_poll_interval", "50ms")])
        .await
        .unwrap();
    let looked_after = tokio::spawn(other.tokens.clone().maintain());
    one.tokens.revoke(&granted.refresh_token).await.unwrap();
    let heard = async {
        while refusal(&other, &granted).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(10 * SECOND, heard).await.unwrap();
    looked_after.abort();
}

#[tokio::test]
async fn news_of_a_revocation_is_not_left_to_the_next_poll() {
    let (cluster, here) = Cluster::new().await;
    // Listens, and neither polls nor asks by itself.
    let patient = [("auth.revocation_max_staleness", "5m")];
    let there = cluster.open(&patient).await.unwrap();
    user(&here, "luxi").await;
    let granted = sign_in(&here, "luxi").await;
    let of = caller(&there, &granted).await;
    let listening = async { there.tokens.listen().await };
    let revoked = async {
        here.tokens.end_all_sessions(&of).await.unwrap();
        while refusal(&there, &granted).await.is_none() {
            there.tokens.share.pretend(News::TokensRevoked);
            tokio::time::sleep(SECOND / 200).await;
        }
    };
    tokio::select! {
        () = listening => unreachable!("it never ends"),
        () = revoked => {}
        () = tokio::time::sleep(20 * SECOND) => panic!("it is not heard"),
    }
}
