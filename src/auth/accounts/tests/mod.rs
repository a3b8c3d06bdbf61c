mod limits;

use super::*;
use crate::auth::tests::*;
use crate::auth::tokens::grant::{GrantFailure, TokenResponse};
use crate::page::{Page, PageRequest};
use crate::patch::Patch;
use crate::users::Standing;
use crate::users::email::Email;
use crate::users::password::CurrentPassword;
use crate::users::phone::PhoneNumber;

fn disable(disabled: bool) -> UserPatch {
    UserPatch {
        disabled: Some(disabled),
        ..UserPatch::default()
    }
}

fn role(role: Role) -> UserPatch {
    UserPatch {
        role: Some(role),
        ..UserPatch::default()
    }
}

#[tokio::test]
async fn a_profile_changes_only_when_it_differs_and_only_from_its_revision() {
    let (_cluster, process) = Cluster::new().await;
    let luxi = user(&process, "luxi").await;
    user(&process, "nanxi").await;
    let update = async |change: AccountPatch, if_match: &str| {
        let if_match = IfMatch::new(Some(if_match.to_owned()));
        let change = AccountPatch {
            current_password: Some(CurrentPassword::new(PASSWORD.to_owned())),
            ..change
        };
        let language = Language::English;
        let updated = process
            .accounts
            .update(luxi.id, change, &if_match, language, nowhere());
        updated.await
    };
    let phone = Patch::Set(PhoneNumber::new("+8616666666661"));
    let change = AccountPatch {
        phone,
        ..AccountPatch::default()
    };
    assert_eq!(update(change.clone(), "\"1.x\"").await.unwrap().revision, 2);
    assert_eq!(code(update(change.clone(), "\"1.x\"").await), Code::Stale);
    assert_eq!(update(change, "\"2.x\"").await.unwrap().revision, 2);
    let taken = AccountPatch {
        email: Some(Email::new("NANXI@example.org")),
        ..AccountPatch::default()
    };
    assert_eq!(code(update(taken, "*").await), Code::AccountTaken);
    let cleared = AccountPatch {
        phone: Patch::Cleared,
        ..AccountPatch::default()
    };
    assert_eq!(update(cleared, "*").await.unwrap().phone, None);
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let (here, there) = (
        sign_in(&process, "luxi").await,
        sign_in(&process, "luxi").await,
    );
    let caller = caller(&process, &here).await;
    let change = async |current: &str, new: &str| {
        process
            .accounts
            .change_password(&caller, current, new, Language::English, nowhere())
            .await
    };
    assert_eq!(
        code(change("wrong-horse", "a new password").await),
        Code::InvalidFields
    );
    assert_eq!(refusal(&process, &there).await, None);

    change(PASSWORD, "a new password").await.unwrap();
    assert_eq!(refusal(&process, &here).await, None);
    process.tokens.refresh(&here.refresh_token).await.unwrap();
    assert_eq!(refusal(&process, &there).await.as_deref(), Some(REVOKED));
    denied(process.tokens.refresh(&there.refresh_token).await);
    denied(try_sign_in(&process, "luxi@example.org", PASSWORD).await);
    try_sign_in(&process, "luxi@example.org", "a new password")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_role_needs_a_new_token() {
    let (_cluster, process) = Cluster::new().await;
    let user = user(&process, "luxi").await;
    let before = sign_in(&process, "luxi").await;
    let promoted = process
        .accounts
        .set_access(user.id, role(Role::Admin), &IfMatch::default())
        .await;
    assert_eq!(promoted.unwrap().revision, 2);
    assert_eq!(refusal(&process, &before).await.as_deref(), Some(REVOKED));
    let after = process.tokens.refresh(&before.refresh_token).await.unwrap();
    assert!(caller(&process, &after).await.caller.is_admin());

    admin(&process, "nanxi").await;
    process
        .accounts
        .set_access(user.id, role(Role::User), &IfMatch::default())
        .await
        .unwrap();
    assert_eq!(refusal(&process, &after).await.as_deref(), Some(REVOKED));
    let again = process.tokens.refresh(&after.refresh_token).await.unwrap();
    assert!(!caller(&process, &again).await.caller.is_admin());
}

#[tokio::test]
async fn who_is_disabled_is_out_until_enabled() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let before = sign_in(&process, "luxi").await;
    set_access(&process, "luxi@example.org", disable(true)).await;
    assert_eq!(refusal(&process, &before).await.as_deref(), Some(REVOKED));
    denied(process.tokens.refresh(&before.refresh_token).await);
    denied(try_sign_in(&process, "luxi@example.org", PASSWORD).await);

    set_access(&process, "luxi@example.org", disable(false)).await;
    assert_eq!(refusal(&process, &before).await.as_deref(), Some(REVOKED));
    let after = sign_in(&process, "luxi").await;
    assert_eq!(refusal(&process, &after).await, None);
}

#[tokio::test]
async fn erasing_frees_email_and_phone_and_leaves_nothing() {
    let (_cluster, process) = Cluster::new().await;
    let new = Registration {
        phone: Some("+8616666666661".into()),
        ..registration("luxi")
    };
    let user = process
        .accounts
        .create_account(new.clone(), Role::User)
        .await
        .unwrap();
    let signed_in = sign_in(&process, "luxi").await;
    let caller = caller(&process, &signed_in).await;
    process
        .accounts
        .delete_account(&caller, PASSWORD, nowhere())
        .await
        .unwrap();

    assert_eq!(
        refusal(&process, &signed_in).await.as_deref(),
        Some(REVOKED)
    );
    denied(process.tokens.refresh(&signed_in.refresh_token).await);
    denied(try_sign_in(&process, "luxi@example.org", PASSWORD).await);
    assert_eq!(
        code(users::get(process.db.read(), user.id).await),
        Code::NotFound
    );
    use sea_orm::EntityTrait as _;
    let row = users::entity::Entity::find_by_id(user.id)
        .one(process.db.read())
        .await;
    let row = row.unwrap().unwrap();
    assert_eq!(
        (row.name, row.email, row.email_key, row.phone),
        (None, None, None, None)
    );
    assert_eq!(row.password_hash, None);

    let again = process
        .accounts
        .create_account(new, Role::User)
        .await
        .unwrap();
    assert_ne!(again.id, user.id);
}

#[tokio::test]
async fn the_last_admin_stays_whatever_races() {
    let (cluster, one) = Cluster::new().await;
    let other = cluster.open(&[]).await.unwrap();
    let (luxi, nanxi) = (admin(&one, "luxi").await.id, admin(&one, "nanxi").await.id);
    let xueling = admin(&one, "xueling").await.id;
    one.accounts
        .set_access(xueling, disable(true), &IfMatch::default())
        .await
        .unwrap();

    let any = IfMatch::default();
    let (first, second) = tokio::join!(
        one.accounts.set_access(luxi, role(Role::User), &any),
        other.accounts.set_access(nanxi, disable(true), &any),
    );
    let outcomes = [first, second];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refused = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.code, Code::LastAdmin);

    let accounts = one
        .accounts
        .list(
            false,
            PageRequest {
                after: None,
                limit: 10,
            },
        )
        .await
        .unwrap()
        .items;
    let is_left = |account: &&Model| account.standing == Standing::Admin && account.is_active();
    let left = accounts.iter().find(is_left).unwrap();
    let signed_in = sign_in(&one, left.name.as_deref().unwrap()).await;
    let caller = caller(&one, &signed_in).await;
    assert_eq!(
        code(
            one.accounts
                .delete_account(&caller, PASSWORD, nowhere())
                .await
        ),
        Code::LastAdmin
    );
    assert_eq!(refusal(&one, &signed_in).await, None);
}

#[tokio::test]
async fn pages_of_accounts_have_neither_gaps_nor_repeats() {
    let (_cluster, process) = Cluster::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        user(&process, name).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let Page { items: page, next } = process
            .accounts
            .list(false, PageRequest { after, limit: 2 })
            .await
            .unwrap();
        seen.extend(page.into_iter().filter_map(|account| account.name));
        user(&process, &format!("late{}", seen.len())).await;
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
}
