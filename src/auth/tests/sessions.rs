use super::*;
use crate::share::News;

#[tokio::test]
async fn a_refresh_token_is_good_for_one_use_and_siblings_for_a_moment() {
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let first = sign_in(&authority, "luxi").await;
    let second = authority.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);

    house.clock.advance(29 * SECOND);
    let sibling = authority.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(sibling.refresh_token, second.refresh_token);
    let third = authority.refresh(&second.refresh_token).await.unwrap();
    authority.refresh(&sibling.refresh_token).await.unwrap();

    house.clock.advance(31 * SECOND);
    assert_eq!(refusal(&authority, &third).await, None);
    denied(authority.refresh(&second.refresh_token).await);
    assert_eq!(refusal(&authority, &third).await.as_deref(), Some(REVOKED));
    denied(authority.refresh(&third.refresh_token).await);
}

#[tokio::test]
async fn two_uses_at_once_both_get_working_tokens() {
    let (house, one) = House::new().await;
    let other = house.open(&[]).await.unwrap();
    user(&one, "luxi").await;
    let first = sign_in(&one, "luxi").await;
    let token = first.refresh_token.as_str();
    let (a, b) = tokio::join!(one.refresh(token), other.refresh(token));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.refresh_token, b.refresh_token);
    for granted in [a, b] {
        one.refresh(&granted.refresh_token).await.unwrap();
    }
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
    let (page, next) = authority.sessions(&callers[0], None, 2).await.unwrap();
    let (rest, end) = authority.sessions(&callers[0], next, 2).await.unwrap();
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
    house.clock.advance(MINUTE);
    caller(&authority, &granted).await;

    authority.db().close().await;
    caller(&authority, &granted).await;
    house.clock.advance(MINUTE);
    assert_eq!(
        code(authority.authenticate(&granted.access_token).await),
        Code::Overloaded
    );
}

#[tokio::test]
async fn sweeping_removes_only_what_no_token_needs() {
    use sea_orm::{EntityTrait as _, PaginatorTrait as _};
    let (house, authority) = House::new().await;
    user(&authority, "luxi").await;
    let ended = sign_in(&authority, "luxi").await;
    let kept = sign_in(&authority, "luxi").await;
    authority.revoke(&ended.refresh_token).await.unwrap();
    let count = async || {
        let db = authority.db().read();
        let sessions = super::super::session::Entity::find()
            .count(db)
            .await
            .unwrap();
        let listed = super::super::revocation::Entity::find()
            .count(db)
            .await
            .unwrap();
        (sessions, listed)
    };
    authority.sweep().await.unwrap();
    assert_eq!(count().await, (2, 1));
    assert_eq!(refusal(&authority, &ended).await.as_deref(), Some(REVOKED));
    house.clock.advance(15 * MINUTE);
    authority.sweep().await.unwrap();
    assert_eq!(count().await, (1, 0));
    authority.refresh(&kept.refresh_token).await.unwrap();
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
