use std::time::Duration;

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(line.split(' ').map(OsString::from))
}

fn command(line: &str) -> Command {
    read(line).unwrap().split(Sources::default()).1
}

/// The settings that a command line makes.
fn flags(line: &str) -> Vec<(String, String)> {
    let (sources, _) = read(line).unwrap().split(Sources::default());
    let flags = sources.flags.into_iter();
    flags.map(|flag| (flag.name, flag.value)).collect()
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_the_default() {
    assert!(matches!(command("polls"), Command::Serve(_)));
    let port = |value: &str| ("--port".to_owned(), value.to_owned());
    assert_eq!(flags("polls --port 9000"), [port("9000")]);
    assert_eq!(flags("polls serve --port 9000"), [port("9000")]);
    assert_eq!(
        flags("polls --port 1 serve --port 2"),
        [port("1"), port("2")]
    );
    assert_eq!(flags("polls --path /run/x --host ::1").len(), 2);
    assert_eq!(flags("polls ready --port 9000"), [port("9000")]);
}

#[test]
fn settings_stand_before_or_after_the_command() {
    let expected = [("a.b", "1=2"), ("c.d", "")]
        .map(|(key, value)| (format!("--set {key}"), value.to_owned()));
    assert_eq!(flags("polls --set a.b=1=2 --set=c.d= migrate up"), expected);
    assert_eq!(flags("polls migrate up --set a.b=1=2 --set c.d="), expected);
    assert!(read("polls --set a.b=1 migrate up --set c.d=2").is_err());
    assert!(read("polls --set a.b").is_err());

    let (sources, _) = read("polls serve --config x.yaml")
        .unwrap()
        .split(Sources::default());
    assert_eq!(sources.file, Some("x.yaml".into()));
}

#[test]
fn listening_is_for_serve_only() {
    let refusal = read("polls --port 1 migrate up").unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::ArgumentConflict);
    assert!(read("polls migrate up --port 1").is_err());
}

#[test]
fn each_command_is_understood() {
    use Command as C;
    assert!(matches!(
        command("polls ready --wait 1m"),
        C::Ready(Ready { wait, .. }) if wait == Duration::from_secs(60)
    ));
    assert!(matches!(
        command("polls mail test ada@example.org"),
        C::Mail(MailCommand::Test { to }) if to == "ada@example.org"
    ));
    assert!(matches!(
        command("polls migrate up"),
        C::Migrate(Migrate::Up)
    ));
    assert!(matches!(
        command("polls migrate down"),
        C::Migrate(Migrate::Down {
            steps: 1,
            yes: false
        })
    ));
    assert!(matches!(
        command("polls migrate down --steps 3 --yes"),
        C::Migrate(Migrate::Down {
            steps: 3,
            yes: true
        })
    ));
    assert!(matches!(
        command("polls migrate status"),
        C::Migrate(Migrate::Status)
    ));
    assert!(matches!(
        command("polls backup x.db"),
        C::Backup(Backup { file }) if *file == *"x.db"
    ));
    assert!(matches!(
        command("polls restore x.db"),
        C::Restore(Restore { file }) if *file == *"x.db"
    ));
    assert!(matches!(
        command("polls seed"),
        C::Seed(Seed {
            users: None,
            guests: 0,
            questions: None,
            choices: 4,
            ballots: 0
        })
    ));
    assert!(matches!(
        command("polls seed --users 20 --guests 7 --questions 5 --choices 2 --ballots 90"),
        C::Seed(Seed {
            users: Some(20),
            guests: 7,
            questions: Some(5),
            choices: 2,
            ballots: 90
        })
    ));
    assert!(matches!(
        command("polls openapi"),
        C::Openapi(Openapi {
            check: false,
            output: None
        })
    ));
    assert!(matches!(
        command("polls openapi --check"),
        C::Openapi(Openapi { check: true, .. })
    ));
    assert!(matches!(
        command("polls openapi --output x"),
        C::Openapi(Openapi {
            output: Some(_),
            ..
        })
    ));
    assert!(matches!(
        command("polls config check"),
        C::Config(ConfigCommand::Check)
    ));
    assert!(matches!(
        command("polls config print"),
        C::Config(ConfigCommand::Print)
    ));
    assert!(matches!(
        command("polls keys rotate"),
        C::Keys(KeysCommand::Rotate)
    ));
    assert!(matches!(
        command("polls recount"),
        C::Recount(Recount { check: false })
    ));
    assert!(matches!(
        command("polls recount --check"),
        C::Recount(Recount { check: true })
    ));
    let C::Load(load) = command("polls load http://x vote -c 8 -n 9 --rate 0.5") else {
        panic!("another command");
    };
    assert_eq!(load.scenario, load::Scenario::Vote);
    assert_eq!(
        (load.clients, load.count, load.rate),
        (8, Some(9), Some(0.5))
    );
    assert_eq!(load.round(), None);
}

#[test]
fn users_are_named_by_email_or_phone() {
    let user = |line: &str| match command(line) {
        Command::User(user) => user,
        other => panic!("{other:?}"),
    };
    let create = user("polls user create --name Ada --email a@b.c --phone +8616666666661 --admin");
    assert!(matches!(
        create,
        UserCommand::Create(NewUser {
            admin: true,
            phone: Some(_),
            ..
        })
    ));
    let ada = || Account {
        login: "a@b.c".to_owned(),
    };
    for (verb, expected) in [
        ("passwd", UserCommand::Passwd(ada())),
        ("promote", UserCommand::Promote(ada())),
        ("demote", UserCommand::Demote(ada())),
        ("disable", UserCommand::Disable(ada())),
        ("enable", UserCommand::Enable(ada())),
    ] {
        assert_eq!(user(&format!("polls user {verb} a@b.c")), expected);
        assert!(read(&format!("polls user {verb}")).is_err());
    }
    assert!(read("polls user create --name Ada --email a@b.c --password x").is_err());
}

#[test]
fn tokens_are_for_one_or_for_all() {
    let token = |line: &str| match command(line) {
        Command::Token(token) => token,
        other => panic!("{other:?}"),
    };
    let one = token("polls token --user a@b.c");
    assert_eq!((one.user.as_deref(), one.all), (Some("a@b.c"), false));
    assert_eq!(one.ttl, Duration::from_secs(3600));
    let all = token("polls token --all --ttl 90s");
    assert_eq!(
        (all.user, all.all, all.ttl),
        (None, true, Duration::from_secs(90))
    );
    assert!(read("polls token").is_err());
    assert!(read("polls token --all --user a@b.c").is_err());
    assert!(read("polls token --all --ttl 5").is_err());
}

#[test]
fn senseless_options_are_refused() {
    for line in [
        "polls openapi --check --output x",
        "polls seed --questions 3",
        "polls seed --users 3 --questions 3 --choices 1",
        "polls seed --users 3 --ballots 3",
        "polls migrate",
        "polls backup",
        "polls restore",
        "polls vote",
        "polls load",
        "polls load http://x --rate 0",
        "polls load http://x --http2 --no-keep-alive",
        "polls load http://x sign-in --login a@b.c",
        "polls load http://x post-file",
    ] {
        assert!(read(line).is_err(), "{line}");
    }
}
