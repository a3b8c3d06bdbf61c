use super::*;
use crate::auth::accounts::known_network;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};

/// An address of its own for each number.
fn address(number: u8) -> Network {
    Network::of(Some([192, 0, 2, number].into()))
}

async fn attempt(
    process: &Process,
    login: &str,
    password: &str,
    from: Network,
) -> Result<TokenResponse, GrantFailure> {
    process
        .accounts
        .sign_in(login, password.to_owned(), None, from)
        .await
}

/// The policy that refused it.
#[track_caller]
fn limited<T: std::fmt::Debug>(outcome: Result<T, GrantFailure>) -> &'static str {
    match outcome {
        Err(GrantFailure::Other(failure)) => {
            assert_eq!(failure.code, Code::RateLimited);
            failure.limit.unwrap().policy
        }
        other => panic!("{other:?}"),
    }
}

const LUXI: &str = "luxi@example.org";
const NOBODY: &str = "nobody@example.org";
const WRONG: &str = "wrong-horse";

#[tokio::test]
async fn guessing_is_limited_by_the_name_that_was_typed_and_success_is_not() {
    let (cluster, process) = Cluster::new().await;
    let new = Registration {
        phone: Some("+8616666666661".into()),
        ..registration("luxi")
    };
    process
        .accounts
        .create_account(new, Role::User)
        .await
        .unwrap();
    for _ in 0..20 {
        sign_in(&process, "luxi").await;
    }
    for login in [LUXI, " LUXI@Example.org"].repeat(5) {
        denied(try_sign_in(&process, login, WRONG).await);
    }
    for login in ["luxi@EXAMPLE.org ", LUXI] {
        let policy = limited(try_sign_in(&process, login, PASSWORD).await);
        assert_eq!(policy, "sign_in_failures_per_account");
    }
    // The phone number is another name.
    let phone = try_sign_in(&process, "16666666661", PASSWORD);
    phone.await.unwrap();
    user(&process, "nanxi").await;
    sign_in(&process, "nanxi").await;
    cluster.clock.advance(15 * MINUTE);
    sign_in(&process, "luxi").await;
}

#[tokio::test]
async fn limits_do_not_tell_whether_there_is_an_account() {
    let (_cluster, process) = Cluster::new().await;
    let new = Registration {
        phone: Some("+8616666666661".into()),
        ..registration("luxi")
    };
    process
        .accounts
        .create_account(new, Role::User)
        .await
        .unwrap();
    let mut answers = Vec::new();
    for number in ["6666666661", "6666666662"] {
        let mut answer = Vec::new();
        // One of them has an account. Each is written in several ways.
        for form in ["1", " 1", "+86 1", "+861", " +86-1", "1"] {
            let login = format!("{form}{number}");
            for _ in 0..2 {
                answer.push(match attempt(&process, &login, WRONG, nowhere()).await {
                    Err(GrantFailure::InvalidGrant) => "denied",
                    refused => limited(refused),
                });
            }
        }
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(
        answers[0][9..],
        [
            "denied",
            "sign_in_failures_per_account",
            "sign_in_failures_per_account"
        ]
    );
}

#[tokio::test]
async fn strangers_lock_nobody_out() {
    let (_cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let (stranger, owner) = (address(1), address(2));
    for _ in 0..10 {
        denied(attempt(&process, LUXI, WRONG, stranger).await);
    }
    let policy = limited(attempt(&process, LUXI, PASSWORD, stranger).await);
    assert_eq!(policy, "sign_in_failures_per_account");
    attempt(&process, LUXI, PASSWORD, owner).await.unwrap();
}

#[tokio::test]
async fn many_strangers_lock_only_unknown_networks_out() {
    let settings = [("limits.sign_in_failures_per_account_in_sum", "12")];
    let (cluster, process) = Cluster::with(&settings).await;
    user(&process, "luxi").await;
    let (known, unknown) = (address(1), address(2));
    attempt(&process, LUXI, PASSWORD, known).await.unwrap();
    // Another process has learnt nothing of the failures yet.
    let other = cluster.open(&settings).await.unwrap();
    let guess_everywhere = async || {
        for number in 0..12 {
            for login in [LUXI, NOBODY] {
                let guess = attempt(&process, login, WRONG, address(100 + number));
                denied(guess.await);
            }
        }
    };
    guess_everywhere().await;
    for process in [&process, &other] {
        for login in [LUXI, NOBODY] {
            let policy = limited(attempt(process, login, PASSWORD, unknown).await);
            assert_eq!(policy, "sign_in_failures_per_account_in_sum", "{login}");
        }
        limited(attempt(process, NOBODY, PASSWORD, known).await);
        // Requests without an address have nothing to be known by.
        limited(attempt(process, LUXI, PASSWORD, nowhere()).await);
        attempt(process, LUXI, PASSWORD, known).await.unwrap();
    }
    // Not even there may one guess for ever.
    for _ in 0..10 {
        denied(attempt(&process, LUXI, WRONG, known).await);
    }
    let policy = limited(attempt(&process, LUXI, PASSWORD, known).await);
    assert_eq!(policy, "sign_in_failures_per_account");

    cluster.clock.advance(31 * 24 * 60 * MINUTE);
    guess_everywhere().await;
    let policy = limited(attempt(&process, LUXI, PASSWORD, known).await);
    assert_eq!(policy, "sign_in_failures_per_account_in_sum");
}

#[tokio::test]
async fn known_networks_are_hashes_and_are_forgotten() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    user(&process, "nanxi").await;
    let rows = async || {
        let rows = known_network::Entity::find().all(process.db.read());
        rows.await.unwrap()
    };
    for from in [address(1), address(1), address(2), nowhere()] {
        attempt(&process, LUXI, PASSWORD, from).await.unwrap();
    }
    let nanxi = "nanxi@example.org";
    let granted = attempt(&process, nanxi, PASSWORD, address(1))
        .await
        .unwrap();
    let noted = rows().await;
    assert_eq!(noted.len(), 3);
    for (index, row) in noted.iter().enumerate() {
        // Nothing of the address, and nothing that two accounts share.
        assert_eq!(row.network.len(), 32);
        assert!(!row.network.windows(3).any(|bytes| bytes == [192, 0, 2]));
        assert!(
            noted[index + 1..]
                .iter()
                .all(|other| other.network != row.network)
        );
    }
    // Written again only after a day.
    cluster.clock.advance(60 * MINUTE);
    attempt(&process, LUXI, PASSWORD, address(1)).await.unwrap();
    assert_eq!(rows().await, noted);
    cluster.clock.advance(24 * 60 * MINUTE);
    attempt(&process, LUXI, PASSWORD, address(1)).await.unwrap();
    let later = rows().await;
    let changed = later.iter().filter(|row| !noted.contains(row));
    assert_eq!((later.len(), changed.count()), (3, 1));

    let nanxi = process
        .tokens
        .refresh(&granted.refresh_token)
        .await
        .unwrap();
    let nanxi = caller(&process, &nanxi).await;
    let deleted = process.accounts.delete_account(&nanxi, PASSWORD, nowhere());
    deleted.await.unwrap();
    assert_eq!(rows().await.len(), 2);
    cluster.clock.advance(29 * 24 * 60 * MINUTE + 60 * MINUTE);
    let now = cluster.clock.now();
    process.accounts.sweep_networks(now).await.unwrap();
    assert_eq!(rows().await.len(), 1);
    cluster.clock.advance(24 * 60 * MINUTE);
    let now = cluster.clock.now();
    process.accounts.sweep_networks(now).await.unwrap();
    let left = known_network::Entity::find().count(process.db.read());
    assert_eq!(left.await.unwrap(), 0);
}

#[tokio::test]
async fn sign_ins_that_succeed_are_limited_too() {
    let settings = [
        ("limits.sign_ins_per_account", "3"),
        ("limits.sign_ins_per_address", "5"),
    ];
    let (cluster, process) = Cluster::with(&settings).await;
    for name in ["luxi", "nanxi", "xueling"] {
        user(&process, name).await;
    }
    let (here, there) = (address(1), address(2));
    for _ in 0..3 {
        attempt(&process, LUXI, PASSWORD, here).await.unwrap();
    }
    let policy = limited(attempt(&process, LUXI, PASSWORD, here).await);
    assert_eq!(policy, "sign_ins_per_account");
    // Neither the account elsewhere nor others here.
    attempt(&process, LUXI, PASSWORD, there).await.unwrap();
    let nanxi = "nanxi@example.org";
    for _ in 0..2 {
        attempt(&process, nanxi, PASSWORD, here).await.unwrap();
    }
    let xueling = "xueling@example.org";
    let policy = limited(attempt(&process, xueling, PASSWORD, here).await);
    assert_eq!(policy, "sign_ins_per_address");
    cluster.clock.advance(15 * MINUTE);
    attempt(&process, LUXI, PASSWORD, here).await.unwrap();
}

#[tokio::test]
async fn password_changes_are_limited_by_themselves() {
    let (cluster, process) = Cluster::new().await;
    user(&process, "luxi").await;
    let granted = attempt(&process, LUXI, PASSWORD, address(1)).await.unwrap();
    let of = caller(&process, &granted).await;
    for _ in 0..10 {
        denied(attempt(&process, LUXI, WRONG, address(1)).await);
    }
    let change = async |current: &str, new: &str| {
        process
            .accounts
            .change_password(&of, current, new, Language::English, address(1))
            .await
    };
    // What strangers do does not count.
    change(PASSWORD, "another password").await.unwrap();
    for _ in 0..9 {
        assert_eq!(code(change(WRONG, PASSWORD).await), Code::InvalidFields);
    }
    let refused = change("another password", PASSWORD).await.unwrap_err();
    assert_eq!(
        refused.limit.unwrap().policy,
        "password_changes_per_account"
    );
    // And does not keep anybody from signing in.
    let elsewhere = attempt(&process, LUXI, "another password", address(2));
    elsewhere.await.unwrap();
    cluster.clock.advance(15 * MINUTE);
    change("another password", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn unknown_accounts_are_limited_like_known_ones() {
    let (_cluster, process) = Cluster::new().await;
    for _ in 0..10 {
        denied(try_sign_in(&process, "nobody@example.org", "wrong-horse").await);
    }
    let outcome = try_sign_in(&process, "NOBODY@example.org", "wrong-horse").await;
    assert!(
        matches!(outcome, Err(GrantFailure::Other(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_address_is_limited_in_failures_and_registrations() {
    let settings = [
        ("limits.sign_in_failures_per_address", "3"),
        ("limits.registrations_per_address", "2"),
    ];
    let (_cluster, process) = Cluster::with(&settings).await;
    let here = Network::of(Some([192, 0, 2, 1].into()));
    let there = Network::of(Some([192, 0, 2, 2].into()));
    process
        .accounts
        .register(registration("luxi"), here)
        .await
        .unwrap();
    process
        .accounts
        .register(registration("nanxi"), here)
        .await
        .unwrap();
    let third = registration("xueling");
    assert_eq!(
        code(process.accounts.register(third.clone(), here).await),
        Code::RateLimited
    );
    process.accounts.register(third, there).await.unwrap();

    let wrong = async |name: &str, from| {
        process
            .accounts
            .sign_in(name, "wrong-horse".to_owned(), None, from)
            .await
    };
    for name in ["a@b", "c@d", "e@f"] {
        denied(wrong(name, here).await);
    }
    assert!(matches!(
        wrong("g@h", here).await,
        Err(GrantFailure::Other(_))
    ));
    denied(wrong("g@h", there).await);
}

#[tokio::test]
async fn limits_can_be_switched_off() {
    let settings = [
        ("limits.enabled", "false"),
        ("limits.sign_in_failures_per_account", "1"),
    ];
    let (_cluster, process) = Cluster::with(&settings).await;
    for _ in 0..3 {
        denied(try_sign_in(&process, "nobody@example.org", "wrong-horse").await);
    }
}
