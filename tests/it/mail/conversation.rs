//! Conversations with mail servers over real connections: TLS and accounts.

use std::process::Command;

use super::*;
use crate::support::app::client;
use crate::support::certificate::Certificate;
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::process::{Run, command};
use crate::support::smtp::{Terms, Tls};
use crate::support::{PASSWORD, Server};

const TO: &str = "ada@example.org";

/// `polls mail test`, in a folder of its own.
struct Trial {
    folder: tempfile::TempDir,
    /// The only certificate that is trusted.
    trusted: Option<String>,
}

impl Trial {
    fn of(trusted: Option<&Certificate>) -> Trial {
        Trial {
            folder: tempfile::tempdir().expect("a temporary folder"),
            trusted: trusted.map(|it| it.certificate.clone()),
        }
    }

    async fn run(&self, url: &str, account: Option<(&str, &str)>) -> Run {
        let mut program = command(self.folder.path());
        program.args(["mail", "test", TO]);
        set(&mut program, "mail.url", url);
        set(&mut program, "mail.from", "Polls <polls@example.org>");
        set(
            &mut program,
            "server.public_url",
            "https://polls.example.org",
        );
        if let Some((name, password)) = account {
            set(&mut program, "mail.user", name);
            program.env("POLLS__MAIL__PASSWORD", password);
        }
        if let Some(file) = &self.trusted {
            program.env("SSL_CERT_FILE", file);
        }
        // Beside this thread, which serves the mail.
        let run = tokio::task::spawn_blocking(move || Run::of(&mut program, ""));
        run.await.expect("no panic")
    }
}

fn set(program: &mut Command, key: &str, value: &str) {
    program.args(["--set", &format!("{key}={value}")]);
}

#[tokio::test]
async fn connections_are_encrypted_as_the_url_says() {
    let Some(own) = Certificate::of_localhost("mail over TLS") else {
        return;
    };
    let trial = Trial::of(Some(&own));
    for (tls, url, encrypted) in [
        (Some(Tls::WithTheConnection), "smtps://localhost:PORT", true),
        (
            Some(Tls::WhenAskedFor),
            "smtp://localhost:PORT?tls=required",
            true,
        ),
        (
            Some(Tls::WhenAskedFor),
            "smtp://localhost:PORT?tls=opportunistic",
            true,
        ),
        (None, "smtp://localhost:PORT?tls=opportunistic", false),
        (
            Some(Tls::WhenAskedFor),
            "smtp://localhost:PORT?tls=none",
            false,
        ),
        (Some(Tls::WhenAskedFor), "smtp://localhost:PORT", false),
    ] {
        let terms = tls.map_or_else(Terms::default, |when| Terms::tls(when, &own));
        let smtp = Smtp::with(terms).await;
        let url = url.replace("PORT", &smtp.port.to_string());
        let said = trial.run(&url, None).await.done();
        assert!(said.contains(TO), "{said}");
        let message = smtp.message(1).await;
        assert_eq!(
            (message.to.as_str(), message.encrypted),
            (TO, encrypted),
            "{url}"
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_who_it_should_be() {
    let (Some(own), Some(other)) = (
        Certificate::of_localhost("mail over TLS"),
        Certificate::of_localhost("mail over TLS"),
    ) else {
        return;
    };
    let with_tls = |when| Terms::tls(when, &own);
    let (from_start, when_asked) = (Tls::WithTheConnection, Tls::WhenAskedFor);
    for (terms, trusted, url, words) in [
        (
            with_tls(from_start),
            Some(&other),
            "smtps://localhost:PORT",
            "certificate",
        ),
        (
            with_tls(from_start),
            None,
            "smtps://localhost:PORT",
            "certificate",
        ),
        (
            with_tls(from_start),
            Some(&own),
            "smtps://127.0.0.1:PORT",
            "not valid for name",
        ),
        (
            with_tls(when_asked),
            Some(&other),
            "smtp://localhost:PORT?tls=required",
            "certificate",
        ),
        // The server offers TLS, so that one without would be an impostor.
        (
            with_tls(when_asked),
            Some(&other),
            "smtp://localhost:PORT?tls=opportunistic",
            "certificate",
        ),
        (
            Terms::default(),
            Some(&own),
            "smtp://localhost:PORT?tls=required",
            "STARTTLS",
        ),
    ] {
        let smtp = Smtp::with(terms).await;
        let url = url.replace("PORT", &smtp.port.to_string());
        let error = Trial::of(trusted).run(&url, None).await.fails(1);
        assert!(error.contains(words), "{url}: {error}");
        assert!(smtp.offered().is_empty(), "{url}");
    }
}

#[tokio::test]
async fn the_account_is_shown_to_the_server_only() {
    let Some(own) = Certificate::of_localhost("mail over TLS") else {
        return;
    };
    let trial = Trial::of(Some(&own));
    let terms = Terms::tls(Tls::WithTheConnection, &own).and_account("polls", "hunter2");
    let smtp = Smtp::with(terms).await;
    let url = format!("smtps://localhost:{}", smtp.port);
    trial.run(&url, Some(("polls", "hunter2"))).await.done();
    assert_eq!(smtp.message(1).await.account.as_deref(), Some("polls"));

    let wrong = trial.run(&url, Some(("polls", "hunter3"))).await;
    assert!(!format!("{wrong:?}").contains("hunter3"), "{wrong:?}");
    let error = wrong.fails(1);
    assert!(error.contains("535"), "{error}");
    let error = trial.run(&url, None).await.fails(1);
    assert!(error.contains("530"), "{error}");
    // A password needs encryption.
    let open = trial.run(
        "smtp://mail.example.org?tls=none",
        Some(("polls", "hunter2")),
    );
    let error = open.await.fails(2);
    assert!(error.contains("without encryption"), "{error}");
    assert_eq!(smtp.offered().len(), 1);
}

#[tokio::test]
async fn without_a_mail_server_the_command_says_so() {
    let trial = Trial::of(None);
    let mut program = command(trial.folder.path());
    let error = Run::of(program.args(["mail", "test", TO]), "").fails(1);
    assert!(error.contains("set mail.url"), "{error}");
}

/// A process from the registration to the new password, over TLS and with an account.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_reset_through_a_provider() {
    let Some(own) = Certificate::of_localhost("mail over TLS") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let terms = Terms::tls(Tls::WithTheConnection, &own).and_account("polls", "hunter2");
    let smtp = Smtp::with(terms).await;
    let url = format!("mail.url=smtps://localhost:{}", smtp.port);
    let flags = [
        ["--set", &url],
        ["--set", "mail.from=Polls <polls@example.org>"],
        ["--set", "mail.user=polls"],
        ["--set", "server.public_url=https://polls.example.org"],
    ];
    let flags = [&["--port", "0"], flags.as_flattened(), &CHEAP_PASSWORDS].concat();
    let environment = [
        ("SSL_CERT_FILE", own.certificate.as_str()),
        ("POLLS__MAIL__PASSWORD", "hunter2"),
    ];
    let server = Server::serve_with(folder.path(), &flags, &environment);
    let call = |method, path: &str, body: Value| {
        let url = format!("{}/api/v1{path}", server.address);
        send(client().request(method, url).json(&body))
    };
    let account = json!({"name": "Ada", "email": TO, "password": PASSWORD});
    call(Method::POST, "/users", account).await.expect(201);
    let body = json!({"email": TO});
    call(Method::POST, "/auth/password-reset", body)
        .await
        .expect(202);
    let message = smtp.message(1).await;
    assert!(
        message.encrypted && message.account.is_some(),
        "{message:?}"
    );
    let body = json!({"token": message.token(), "new_password": NEW});
    call(Method::PUT, "/auth/password-reset", body)
        .await
        .expect(204);
}
