//! A polls and voting API server.
//!
//! This is the tour of the code: the modules in reading order, the way of a request, the rules that
//! hold everywhere, and recipes for the three most common changes. How to use the server is in
//! `README.md`; what clients may rely on is in the OpenAPI document, `openapi/polls.json`; how the
//! tests work is in `tests/README.md`; why it is fast is in `tests/bench/README.md`.
//!
//! # What is where
//!
//! A feature is a folder. Its verbs ("cast a ballot", "close a question") are methods of a struct,
//! which owns what they need: [`Questions`](questions::Questions), [`Ballots`](ballots::Ballots),
//! [`Accounts`](auth::Accounts), [`Tokens`](auth::Tokens), and [`Views`](results::Views) for reads.
//! In each folder,
//!
//! - `mod.rs` and the files beside it that are named after a subject (`closing.rs`, `choices.rs`)
//!   have the verbs and say why they can fail;
//! - `entity.rs` and the files named after tables have the tables (SeaORM entities);
//! - `api.rs` or `api/` has the HTTP handlers and the objects that they receive and send.
//!
//! A call takes three steps: handler, verb, SeaORM. There is no service layer and no repository
//! trait. Where an object is the same in the table, in the verb and in JSON, it is one Rust type.
//!
//! The features, each of which may use only those above it:
//!
//! - [`mail`]: messages that wait to be sent by email, and sending them; a recipe for another kind
//!   of message.
//! - [`users`]: the table of accounts and guests, roles, and the rules for names, email addresses,
//!   phone numbers and passwords.
//! - [`auth`]: accounts that register, sign in and get back in; sessions, tokens, signing keys,
//!   revocation.
//! - [`questions`]: questions and choices: how they are asked, changed, opened, closed, deleted and
//!   searched.
//! - [`invitations`]: codes with which people without an account vote on one question.
//! - [`ballots`]: who may vote, casting and withdrawing ballots; the profile, which has the number of ballots that
//!   are alike; the recount.
//! - [`results`]: the read model: questions with their numbers, lists, pictures, and who may see
//!   the numbers.
//! - [`live`]: results that are sent to clients after each change.
//!
//! This order holds for verbs, tables and the read model. Handlers stand above all of them: an
//! `api` may use the verbs and types of every feature, but nothing except [`app`] may use an `api`.
//!
//! What the features stand on, without knowing them:
//!
//! - [`clock`]: the only module that asks for the time. Times are microseconds in UTC.
//! - [`failure`]: every way in which a call can fail, with its code, status and explanation.
//! - [`language`]: the languages of messages, and which one a request prefers.
//! - [`base32`]: codes that people type.
//! - [`text`]: text is normalised here, so that every database compares and finds the same.
//! - [`input`]: types of request fields that carry their own limits.
//! - [`patch`], [`precondition`], [`page`]: merge patches, `If-Match`, keyset pagination.
//! - [`rendered`], [`markup`]: answers that are rendered once for many clients; HTML and SVG
//!   escaping.
//! - [`network`], [`fair`]: the network that a request comes from, and a semaphore that is fair
//!   between networks.
//! - [`background`]: threads of low priority for work that keeps a core busy.
//! - [`periodic`]: work that is done again and again.
//! - [`downloads`]: long answers that are written while they are sent.
//! - [`formula`]: text that spreadsheets must not run.
//! - [`folder`], [`progress`]: for the terminal: errors about folders, and progress bars.
//! - [`config`]: the settings, their layers and checks.
//! - [`db`]: connections, transactions with bounded retry, and everything that differs between
//!   database engines.
//! - [`share`]: news between processes, and rate limits that they count together.
//! - [`http`]: everything about HTTP that is the same for every call.
//!
//! - [`tally`]: counts ballots by any voting method. Pure; the results and `polls tally` use it. Beside
//!   it, only `src/ballots/method.rs` knows what the methods mean: which ballots are well formed, and
//!   what they add to the counters.
//!
//! Around the features:
//!
//! - [`app`]: the wiring: creates the parts and connects them.
//! - [`web`]: the web page for people, which uses only the public API.
//! - [`cli`]: the commands. [`seed`]: sample data. [`load`]: the load tester, which uses only HTTP.
//! - [`telemetry`]: logs. [`watchdog`]: ends a process that hangs.
//!
//! # The way of a ballot
//!
//! `PUT /api/v1/questions/{question_id}/ballot`:
//!
//! 1. [`http::serve()`] accepts the connection. [`http::Stack`] does for the request what is the
//!    same for every call: request id, limits, CORS, compression, errors.
//! 2. poem-openapi finds the handler in [`ballots::api`]. The types of its arguments say who may
//!    call it and what it accepts: [`Voter`](auth::guard::Voter) is a checked access token of an account
//!    or a guest ([`SignedIn`](auth::guard::SignedIn) of accounts only),
//!    [`Body`](http::body::Body) a checked body.
//! 3. The handler calls [`Ballots::cast`](ballots::Ballots::cast), which puts the ballot into the
//!    queue of the ballot box and waits.
//! 4. The task of the ballot box commits all queued ballots in one transaction. It first takes a
//!    [slot](questions::slot) of the question and only then reads whether the question is open.
//!    `src/ballots/batch.rs` refuses ballots on questions that are not open, and of those who are not
//!    among its electorate (`src/ballots/electorate.rs`). A close first commits
//!    `closed_at`, then takes all slots (it *seals* the question), and only then is acknowledged: a
//!    batch on any process that saw the question open is committed by then, and a later one is
//!    refused. A question whose `closes_at` has passed is sealed in the same way within a second;
//!    until then each process decides by its own clock.
//! 5. After the commit the task announces the question, for live results, and answers each waiting
//!    request. The handler reads the results through [`Views`](results::Views), where all requests
//!    that wait share one query, and answers.
//!
//! A read goes from its handler to [`Views`](results::Views): `results/shared.rs` joins it with
//! others that ask at the same time, `results/list.rs` finds the questions of a page,
//! `results/poll.rs` reads questions with their numbers in one statement, and a
//! [`View`](results::View) keeps the answers that were rendered from it. Where the sums of votes are not
//! enough for an outcome, `results/counts.rs` reads the profile of the ballots and counts it on a thread
//! of low priority, once for all who wait.
//!
//! # What holds everywhere
//!
//! - **One ballot per account and question.** The primary key of the table of ballots ensures this.
//!   The code inserts and handles the conflict; it does not rely on having looked first.
//! - **Votes and ballot count in an answer are of the same moment**, because one statement reads
//!   both ([`results::poll`]).
//! - **The tally of a closed question does not change** once the close is acknowledged, unless the
//!   question is reopened ([`questions::slot`]).
//! - **Nothing links an anonymous ballot to its voter** once its question is sealed, and nobody sees
//!   numbers of the question before ([`ballots::anonymous`], [`ballots::unlink`]). No log has a receipt.
//!   `tests/it/anonymous/attack.rs` tries to link them.
//! - **Answers are never stale.** A shared query begins after all requests that it answers. The
//!   result of the query before is used again only if the database says that nothing has changed
//!   ([`results::shared`]). Of the data in the database only signing keys and the revocation list are
//!   kept in memory; each process refreshes them twice a second ([`auth`]).
//! - **A change is completed even if its client disconnects.** It runs in a task of its own.
//!   Ballots need none, because the task of the ballot box commits them.
//! - **A message by mail is sent at least once**, if it does not expire, and by one process at a time
//!   ([`mail`]).
//! - **Verbs announce their changes** to those who watch, after the commit. Handlers do not have to
//!   remember it.
//! - **No client can use up what others need.** Connections, requests, bodies that have not arrived
//!   and answers that are not read are counted for each network and in total ([`http::usage`]). The
//!   body of a request is read before anything is reserved for the request. Work that keeps a core
//!   busy (passwords, large pages, compression of large answers) runs on threads of low priority, a
//!   few at once, and networks take turns ([`background`], [`fair`]). Every call that costs more
//!   than a look into a table counts towards a rate limit ([`http::rates`]). `tests/it/hostile.rs`
//!   has clients that try to break this.
//! - **Clocks of machines may differ.** Revocations are numbered by the database; shared limits use
//!   the clock of the Redis or database that keeps them. Only `opens_at` and `closes_at` are
//!   compared with the clock of each process.
//! - **Redis holds nothing that must be kept.** If it fails, no request fails: each process counts
//!   limits for itself and polls the database for news, until Redis is back ([`share`]).
//! - **Every failure is a [`Failure`](failure::Failure)**, which [`http::problem`] turns into
//!   problem+json.
//! - **The policy of an operation stands beside its handler** ([`http::policy`]): which problems it
//!   can answer, how large its body may be, which rate limit it counts towards.
//! - **Each limit is written once.** Limits of request fields are in their types ([`input`]),
//!   ranges of settings in `config/default.yaml`; schema, check and message come from there.
//! - **The OpenAPI document is generated** from the types, completed in [`http::spec`], checked in,
//!   and compared by a test. The table of routes comes from it too.
//! - **Which module may use which** is checked by `tests/it/tidy.rs`.
//!
//! # Recipe: an endpoint
//!
//! For example, one more call about questions.
//!
//! 1. **Verb.** Add a method to [`Questions`](questions::Questions) in `src/questions/mod.rs`, or
//!    in the file of its subject beside it. It changes the database in one
//!    [`Db::write`](db::Db::write), announces the question afterwards as its neighbours do, and
//!    returns a [`Failure`](failure::Failure) if it cannot. Reads belong to `src/results/`.
//! 2. **Handler.** Add a method to `QuestionsApi` in `src/questions/api/mod.rs` with an
//!    `operation_id`. Its arguments decide who may call it ([`auth::guard`]) and what it accepts
//!    (`Body`, `IfMatch`, `Paging`); its type of answer decides the status ([`http::reply`]). The
//!    first line of its comment becomes the summary in the document, the rest the description.
//! 3. **Policy.** Declare the operation in `operations!` in the same file, with the codes of the
//!    problems that it can answer and with what differs from the usual: a larger body, a rate limit
//!    of its own, links in the document ([`http::policy`]).
//! 4. **Role matrix.** Add a line to `tests/it/matrix.rs`: the status for no token, a bad token, a
//!    guest, another user, the author, an admin. Test the behaviour in `tests/it/questions.rs`.
//! 5. **Document.** Run `cargo run -- openapi --output openapi/polls.json`, and add the call to the
//!    table of endpoints in `README.md` and to `CHANGELOG.md`.
//!
//! A new struct of handlers is added to `Apis` in `src/app.rs`; a new kind of failure to
//! `src/failure.rs`, with a test in `tests/it/errors.rs`.
//!
//! # Recipe: a field of a question
//!
//! 1. **Migration.** Add a file to `migration/src/` that adds the column and can remove it
//!    (`table.rs` has the functions), and list it in `migration/src/lib.rs`. The column is nullable
//!    or has a default, because processes of the version before still write during an upgrade.
//!    `tests/it/migrations.rs` names the newest migration.
//! 2. **Table.** Add the field to `Model` in `src/questions/entity.rs`. All statements that read
//!    questions take their columns from there. A `bool` or a time needs the attribute that its
//!    neighbours have.
//! 3. **What authors send.** Add the field to `Draft` in `src/questions/draft.rs`, with a type from
//!    [`input`] that carries its limits and with a default (a required field would break clients,
//!    which a test notices), and to `Draft::new` and `Draft::question`. An optional text that may
//!    be empty is read like `description`. If the field can be changed, add it to `QuestionPatch`
//!    and `QuestionPatch::applied_to`; the messages and descriptions that list what can be changed
//!    after the first ballot name it, too (search for `closes_at can`). What contradicts another field
//!    or the method is found in `contradictions`. A text counts for the quota
//!    in `src/questions/quota.rs`, and for the size of a page in `bytes_of` of
//!    `src/results/pages.rs`. If it must not change after the first
//!    ballot, add it to `VotingRules` in `src/questions/mod.rs`. If it decides the outcome, add it to
//!    `Question::rules` in `src/questions/entity.rs`, and to `Rules` in `src/tally/rules.rs`.
//! 4. **What clients see.** Add the field to `Question` and `Question::of` in
//!    `src/results/objects.rs`.
//! 5. **Document.** Run `cargo run -- openapi --output openapi/polls.json`.
//! 6. **Page.** Let authors enter it in `src/web/page/editor.js`, show it in
//!    `src/web/page/question.js`, and add its texts in both languages to `src/web/page/texts.js`.
//! 7. **Tests** in `tests/it/questions.rs` and `tests/it/boundaries.rs`, where one test each names
//!    every field with its default and its limits. A line in `CHANGELOG.md`.
//!    `cargo test` runs them on every installed database engine.
//!
//! # Recipe: a setting
//!
//! 1. **Documentation and default.** Add the key to `config/default.yaml` with a comment and a line
//!    `Allowed:`. A range there (`1s to 1d`) is the check, too.
//! 2. **Type.** Add the field to the struct of its section in `src/config/mod.rs`. Durations, sizes
//!    and lists are read by a function of `src/config/forms.rs`; a secret has the type
//!    [`Secret`](config::Secret), which is never shown.
//! 3. **Contradictions** with other settings, if there are any, are checked in
//!    `src/config/rules.rs`.
//! 4. **Use.** [`app`] hands each part its section of the [`Config`](config::Config).
//! 5. **Tests** of what it changes. `src/config/tests.rs` already checks that every key is
//!    documented, has a field, and that its range is enforced. If operators need to know it, add it
//!    to `config/deploy/README.md`.

pub mod app;
pub mod auth;
pub mod background;
pub mod ballots;
pub mod base32;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod downloads;
pub mod failure;
pub mod fair;
pub mod folder;
pub mod formula;
pub mod http;
pub mod input;
pub mod invitations;
pub mod language;
pub mod live;
pub mod load;
pub mod mail;
pub mod markup;
pub mod network;
pub mod page;
pub mod patch;
pub mod periodic;
pub mod precondition;
pub mod progress;
pub mod questions;
pub mod rendered;
pub mod results;
pub mod seed;
pub mod share;
pub mod tally;
pub mod telemetry;
pub mod text;
pub mod users;
pub mod watchdog;
pub mod web;
