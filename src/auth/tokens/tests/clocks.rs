//! Two processes whose clocks differ.

use super::*;

const APART: Duration = Duration::from_secs(600);

/// Two processes of one database, of which the first is ten minutes ahead or behind.
async fn apart(first_is_ahead: bool) -> (Cluster, Process, Process) {
    let (cluster, _) = Cluster::new().await;
    let (one, other) = (Clock::default(), Clock::default());
    if first_is_ahead { &one } else { &other }.advance(APART);
    let one = cluster.open_with(one, &[]).await.unwrap();
    let other = cluster.open_with(other, &[]).await.unwrap();
    (cluster, one, other)
}

/// What takes rights away.
const LOSSES: [&str; 5] = ["sign-out", "password", "role", "disabled", "deleted"];

async fn lose(on: &Process, loss: &str, of: &SignedIn) {
    let any = IfMatch::default();
    let standing = async |role, disabled| {
        let change = UserPatch { role, disabled };
        on.accounts
            .set_access(of.caller.id, change, &any)
            .await
            .unwrap();
    };
    match loss {
        "sign-out" => on.tokens.end_session(of, of.session_id).await.unwrap(),
        "password" => {
            let new = "another password".to_owned();
            let account = on.accounts.get(of.caller.id).await.unwrap();
            on.accounts.reset_password(&account, new).await.unwrap();
        }
        "role" => standing(Some(Role::Admin), None).await,
        "disabled" => standing(None, Some(true)).await,
        "deleted" => {
            let deleted = on.accounts.delete_account(of, PASSWORD, nowhere());
            deleted.await.unwrap();
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_one_process_revokes_another_refuses_whatever_their_clocks_say() {
    for first_is_ahead in [true, false] {
        let (_cluster, one, other) = apart(first_is_ahead).await;
        for loss in LOSSES {
            for (name, signed_in_at) in [("luxi", &one), ("nanxi", &other)] {
                let name = format!("{name}.{loss}");
                user(&one, &name).await;
                let granted = sign_in(signed_in_at, &name).await;
                let of = caller(&other, &granted).await;
                lose(&one, loss, &of).await;
                other.tokens.catch_up().await.unwrap();
                let refused = refusal(&other, &granted).await;
                assert_eq!(refused.as_deref(), Some(REVOKED), "{loss}");
            }
        }
    }
}

#[tokio::test]
async fn a_revocation_outlives_its_tokens_by_the_clock_of_any_process() {
    for first_is_ahead in [true, false] {
        let (cluster, one, other) = apart(first_is_ahead).await;
        user(&one, "luxi").await;
        let granted = sign_in(&other, "luxi").await;
        one.tokens.revoke(&granted.refresh_token).await.unwrap();
        for process in [&one, &other] {
            process.clock.advance(10 * MINUTE);
            process.tokens.sweep().await.unwrap();
        }
        // Some honour the token still, and one that starts now must know better.
        let late = Clock::default();
        let late = cluster.open_with(late, &[]).await.unwrap();
        assert_eq!(refusal(&late, &granted).await.as_deref(), Some(REVOKED));
    }
}
