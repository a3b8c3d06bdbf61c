use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};

use super::*;
use crate::auth::{CLOCKS, refresh_token, revocation, secret, session};
use crate::page::{Page, PageRequest};
use crate::share::News;

#[tokio::test]
async fn a_refresh_token_has_one_successor() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let first = sign_in(&authority, "luxi").await;
    let second = authority.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    let tokens = async || {
        let tokens = refresh_token::Entity::find().count(authority.db().read());
        tokens.await.unwrap()
    };
    assert_eq!(tokens().await, 2);

    // Two tabs, or lost replies: whoever repeats it gets the same.
    for _ in 0..18 {
        house.clock.advance(SECOND);
        let again = authority.refresh(&first.refresh_token).await.unwrap();
        assert_eq!(again.refresh_token, second.refresh_token);
        caller(&authority, &again).await;
    }
    assert_eq!(tokens().await, 2);

    // One line goes on, also while its beginning is repeated.
    let third = authority.refresh(&second.refresh_token).await.unwrap();
    let again = authority.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token);
    let again = authority.refresh(&again.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, third.refresh_token);
    let fourth = authority.refresh(&third.refresh_token).await.unwrap();
    assert_eq!(tokens().await, 4);

    house.clock.advance(31 * SECOND);
    assert_eq!(refusal(&authority, &fourth).await, None);
    denied(authority.refresh(&second.refresh_token).await);
    assert_eq!(refusal(&authority, &fourth).await.as_deref(), Some(REVOKED));
    denied(authority.refresh(&fourth.refresh_token).await);
}

#[tokio::test]
async fn uses_at_once_on_two_processes_get_one_successor() {
    let (house, one) = House::new().await;
    let other = house.open(&[]).await.unwrap();
    user(&one, "luxi").await;
    let first = sign_in(&one, "luxi").await;
    let token = first.refresh_token.as_str();
    let (a, b) = tokio::join!(one.refresh(token), other.refresh(token));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.refresh_token, b.refresh_token);
    for granted in [&a, &b] {
        caller(&one, granted).await;
    }
    other.refresh(&a.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_token_that_the_version_before_has_used_ends_nothing_within_the_window() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let first = sign_in(&authority, "luxi").await;
    let second = authority.refresh(&first.refresh_token).await.unwrap();
    // That version stores when it was used, and nothing else.
    let forgotten = refresh_token::Entity::update_many().col_expr(
        refresh_token::Column::SuccessorSalt,
        Expr::value(None::<Vec<u8>>),
    );
    forgotten.exec(authority.db().read()).await.unwrap();
    denied(authority.refresh(&first.refresh_token).await);
    assert_eq!(refusal(&authority, &second).await, None);
    house.clock.advance(31 * SECOND);
    denied(authority.refresh(&first.refresh_token).await);
    assert_eq!(refusal(&authority, &second).await.as_deref(), Some(REVOKED));
}

#[tokio::test]
async fn nothing_that_is_stored_opens_a_session() {
    let (_house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let first = sign_in(&authority, "luxi").await;
    let second = authority.refresh(&first.refresh_token).await.unwrap();
    let rows = refresh_token::Entity::find().all(authority.db().read());
    for row in rows.await.unwrap() {
        let salt = row.successor_salt.clone().unwrap_or_default();
        for bytes in [row.token_hash.clone(), salt] {
            let token = URL_SAFE_NO_PAD.encode(&bytes);
            assert!(token != first.refresh_token && token != second.refresh_token);
            denied(authority.refresh(&token).await);
        }
    }
    let secrets = secret::Entity::find().all(authority.db().read());
    let shown = format!("{:?}", secrets.await.unwrap());
    assert!(shown.contains("KeyMaterial(…)"), "{shown}");
    assert_eq!(shown.matches("value").count(), 2);
}

#[tokio::test]
async fn an_account_has_no_more_sessions_than_it_may() {
    let (house, authority) = House::with(&[("auth.max_sessions", "3")]).await;
    let other = house.open(&[("auth.max_sessions", "3")]).await.unwrap();
    user(&authority, "luxi").await;
    user(&authority, "nanxi").await;
    let nanxi = sign_in(&authority, "nanxi").await;
    let mut granted = Vec::new();
    for _ in 0..3 {
        granted.push(sign_in(&authority, "luxi").await);
        house.clock.advance(SECOND);
    }
    // The first is used since, so the second was not used for longest.
    let first = authority.refresh(&granted[0].refresh_token).await.unwrap();
    house.clock.advance(SECOND);
    let last = sign_in(&authority, "luxi").await;
    let ended = &granted[1];
    assert_eq!(refusal(&authority, ended).await.as_deref(), Some(REVOKED));
    denied(authority.refresh(&ended.refresh_token).await);
    other.catch_up().await.unwrap();
    assert_eq!(refusal(&other, ended).await.as_deref(), Some(REVOKED));
    for alive in [&first, &granted[2], &last, &nanxi] {
        assert_eq!(refusal(&authority, alive).await, None);
        assert_eq!(refusal(&other, alive).await, None);
    }
    let of = caller(&authority, &last).await;
    let sessions = authority
        .sessions(
            &of,
            PageRequest {
                after: None,
                limit: 10,
            },
        )
        .await
        .unwrap()
        .items;
    assert_eq!(sessions.len(), 3);
}

#[tokio::test]
async fn late_reuse_ends_the_session_once_and_for_all_racers() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let stolen = sign_in(&authority, "luxi").await;
    let honest = authority.refresh(&stolen.refresh_token).await.unwrap();
    house.clock.advance(MINUTE);
    let (thief, owner) = tokio::join!(
        authority.refresh(&stolen.refresh_token),
        authority.refresh(&honest.refresh_token),
    );
    denied(thief);
    // The owner may come first, but what they got is dead as well.
    if let Ok(granted) = owner {
        assert_eq!(
            refusal(&authority, &granted).await.as_deref(),
            Some(REVOKED)
        );
        denied(authority.refresh(&granted.refresh_token).await);
    }
    denied(authority.refresh(&honest.refresh_token).await);
}

#[tokio::test]
async fn a_session_lasts_while_it_is_used() {
    let (house, authority) = House::with(&[("auth.refresh_token_ttl", "10d")]).await;
    user(&authority, "luxi").await;
    let mut granted = sign_in(&authority, "luxi").await;
    for _ in 0..3 {
        house.clock.advance(9 * 24 * 60 * MINUTE);
        granted = authority.refresh(&granted.refresh_token).await.unwrap();
    }
    house.clock.advance(10 * 24 * 60 * MINUTE);
    denied(authority.refresh(&granted.refresh_token).await);
}

#[tokio::test]
async fn ending_a_session_is_felt_here_at_once_and_elsewhere_after_a_poll() {
    let (house, one) = House::new().await;
    user(&one, "luxi").await;
    let other = house.open(&[]).await.unwrap();
    let granted = sign_in(&one, "luxi").await;
    let caller = caller(&other, &granted).await;
    assert!(other.is_still(&caller));

    one.end_session(&caller, caller.session_id).await.unwrap();
    assert_eq!(refusal(&one, &granted).await.as_deref(), Some(REVOKED));
    denied(other.refresh(&granted.refresh_token).await);
    other.catch_up().await.unwrap();
    assert_eq!(refusal(&other, &granted).await.as_deref(), Some(REVOKED));
    assert!(!other.is_still(&caller));

    let late = house.open(&[]).await.unwrap();
    assert_eq!(refusal(&late, &granted).await.as_deref(), Some(REVOKED));
}

#[tokio::test]
async fn nobody_ends_the_sessions_of_others() {
    let (_house, authority) = House::new().await;
    user(&authority, "luxi").await;
    user(&authority, "nanxi").await;
    let (luxi, nanxi) = (
        sign_in(&authority, "luxi").await,
        sign_in(&authority, "nanxi").await,
    );
    let (mine, theirs) = (
        caller(&authority, &luxi).await,
        caller(&authority, &nanxi).await,
    );
    let ended = authority.end_session(&mine, theirs.session_id).await;
    assert_eq!(code(ended), Code::NotFound);
    authority.end_all_sessions(&mine).await.unwrap();
    assert_eq!(refusal(&authority, &nanxi).await, None);
    assert_eq!(refusal(&authority, &luxi).await.as_deref(), Some(REVOKED));
    assert_eq!(
        code(authority.end_session(&mine, mine.session_id).await),
        Code::NotFound
    );
}

#[tokio::test]
async fn only_live_sessions_are_listed_page_by_page() {
    let (_house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(caller(&authority, &sign_in(&authority, "luxi").await).await);
    }
    authority
        .end_session(&callers[0], callers[1].session_id)
        .await
        .unwrap();
    let Page { items: page, next } = authority
        .sessions(
            &callers[0],
            PageRequest {
                after: None,
                limit: 2,
            },
        )
        .await
        .unwrap();
    let request = PageRequest {
        after: next,
        limit: 2,
    };
    let Page {
        items: rest,
        next: end,
    } = authority.sessions(&callers[0], request).await.unwrap();
    let ids: Vec<Uuid> = page.iter().chain(&rest).map(|session| session.id).collect();
    assert_eq!(ids, [3, 2, 0].map(|index: usize| callers[index].session_id));
    assert_eq!(end, None);
    assert_eq!(page[0].client.as_deref(), Some("test"));
}

#[tokio::test]
async fn either_kind_of_token_revokes_its_session_and_others_do_nothing() {
    let (_house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let (first, second) = (
        sign_in(&authority, "luxi").await,
        sign_in(&authority, "luxi").await,
    );
    authority.revoke("nonsense").await.unwrap();
    authority.revoke(&first.refresh_token).await.unwrap();
    authority.revoke(&first.refresh_token).await.unwrap();
    assert_eq!(refusal(&authority, &first).await.as_deref(), Some(REVOKED));
    assert_eq!(refusal(&authority, &second).await, None);
    authority.revoke(&second.access_token).await.unwrap();
    denied(authority.refresh(&second.refresh_token).await);
}

#[tokio::test]
async fn without_a_current_list_nobody_is_let_in() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let granted = sign_in(&authority, "luxi").await;
    // A list that has become too old is read before it is believed.
    authority.freshness.pass(MINUTE);
    caller(&authority, &granted).await;

    authority.db().close().await;
    // What the system's clock says does not matter.
    house.clock.advance(MINUTE);
    caller(&authority, &granted).await;
    authority.freshness.pass(MINUTE);
    assert_eq!(
        code(authority.authenticate(&granted.access_token).await),
        Code::Overloaded
    );
}

#[tokio::test]
async fn sweeping_removes_only_what_no_token_needs() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let ended = sign_in(&authority, "luxi").await;
    let kept = sign_in(&authority, "luxi").await;
    authority.revoke(&ended.refresh_token).await.unwrap();
    let count = async || {
        let db = authority.db().read();
        let sessions = session::Entity::find().count(db).await.unwrap();
        let listed = revocation::Entity::find().count(db).await.unwrap();
        let tokens = refresh_token::Entity::find().count(db).await.unwrap();
        (sessions, listed, tokens)
    };
    authority.sweep().await.unwrap();
    assert_eq!(count().await, (2, 1, 2));
    // Longer than the tokens, by the clock of whatever process.
    house.clock.advance(15 * MINUTE);
    authority.sweep().await.unwrap();
    assert_eq!(count().await, (2, 1, 2));
    house.clock.advance(CLOCKS);
    authority.sweep().await.unwrap();
    assert_eq!(count().await, (1, 0, 1));
    authority.refresh(&kept.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_sweep_lets_other_writers_in_between() {
    const SESSIONS: u64 = 1_500;
    let (house, authority) = House::new().await;
    let luxi = user(&authority, "luxi").await;
    let now = authority.now();
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
    let db = authority.db();
    for rows in rows.chunks(500) {
        let insert = session::Entity::insert_many(rows.to_vec());
        insert.exec_without_returning(db.read()).await.unwrap();
    }
    house.clock.advance(CLOCKS);
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
    let (swept, seen) = tokio::join!(authority.sweep(), counted());
    swept.unwrap();
    let between = seen.iter().filter(|count| (1..SESSIONS).contains(*count));
    assert!(between.count() >= 2, "{seen:?}");
}

#[tokio::test]
async fn a_process_that_is_looked_after_hears_of_what_others_do() {
    let (house, one) = House::with(&[("auth.revocation_poll_interval", "50ms")]).await;
    user(&one, "luxi").await;
    let granted = sign_in(&one, "luxi").await;
    let other = house
        .open(&[("auth.revocation_poll_interval", "50ms")])
        .await
        .unwrap();
    let looked_after = tokio::spawn(other.clone().maintain());
    one.revoke(&granted.refresh_token).await.unwrap();
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
    let (house, here) = House::new().await;
    // Listens, and neither polls nor asks by itself.
    let patient = [("auth.revocation_max_staleness", "5m")];
    let there = house.open(&patient).await.unwrap();
    user(&here, "luxi").await;
    let granted = sign_in(&here, "luxi").await;
    let of = caller(&there, &granted).await;
    let listening = async { there.listen().await };
    let revoked = async {
        here.end_all_sessions(&of).await.unwrap();
        while refusal(&there, &granted).await.is_none() {
            there.share.pretend(News::TokensRevoked);
            tokio::time::sleep(SECOND / 200).await;
        }
    };
    tokio::select! {
        () = listening => unreachable!("it never ends"),
        () = revoked => {}
        () = tokio::time::sleep(20 * SECOND) => panic!("it is not heard"),
    }
}
