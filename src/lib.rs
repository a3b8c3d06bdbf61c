//! A polls and voting API server.
//!
//! This is the tour of the code, in the order in which it is best read. How to *use* the server is
//! told by the README; what clients may rely on, by the OpenAPI document in `openapi/`.
//!
//! # A ballot's way through the house
//!
//! 1. [`http::serve()`] accepts the connection, and [`http::Stack`] does for the request what is the
//!    same for every call: request id, limits, CORS, compression, problems.
//! 2. poem-openapi finds the handler, [`ballots::api`]. Its arguments are its policy:
//!    [`SignedIn`](auth::SignedIn) is a checked access token, [`Body`](http::body::Body) a checked
//!    body.
//! 3. The handler calls a verb, [`Ballots::cast`](ballots::Ballots::cast), which puts the ballot into
//!    the queue of the ballot box and waits.
//! 4. The task of the box commits all queued ballots in one transaction. The batch first takes a
//!    [slot](questions::slot) of the question and only then reads whether it is open, so that a
//!    close, on whatever process, either sees the ballot or forbids it.
//! 5. After the commit the handler reads the poll through [`results::Views`], where all who
//!    ask at the same time share one query, and answers.
//!
//! # The modules, in reading order
//!
//! What everything stands on:
//! - [`clock`]: the only source of "now". Times are microseconds in UTC.
//! - [`failure`]: every way in which a call can fail, with its code, status and explanation.
//! - [`text`]: text is normalised here, so that every database compares alike.
//! - [`input`]: texts and numbers of requests whose types carry their limits.
//! - [`config`]: the layers, the checks, and every mistake at once.
//! - [`background`]: threads for work that takes long.
//! - [`db`]: connections, transactions with bounded retry, and whatever differs between engines.
//! - [`http`]: everything about HTTP that is the same for every call.
//! - [`share`]: what processes tell each other, and rate limits that they count together.
//!
//! The features, each of which may use only those above it:
//! - [`users`]: the accounts.
//! - [`auth`]: passwords, sessions, tokens, keys, revocation, limits on sign-in.
//! - [`questions`]: questions and choices, their opening, closing, deletion, search.
//! - [`results`]: what the ballots add up to, who may see it, shared reads.
//! - [`ballots`]: the ballot box, and the recount that proves it.
//! - [`live`]: results that move while one watches.
//!
//! In a feature, `mod.rs` has the verbs and why they can fail, `entity.rs` and its like the
//! tables, `api.rs` the typed handlers with what they send and receive. It is three hops: handler,
//! verb, SeaORM. There is no service layer and no repository trait; SeaORM is the abstraction.
//!
//! Around it:
//! - [`web`]: the page for people, which uses nothing but the API.
//! - [`app`]: the whole wiring, once.
//! - [`cli`]: the commands. [`seed`]: sample data. [`telemetry`]: logs. [`watchdog`]: the end of a
//!   process that hangs.
//! - [`load`]: the load tester, which stands on HTTP alone.
//!
//! # What holds it together
//!
//! - **One ballot per account and question** is the primary key of the ballots' table. Nothing
//!   looks first and then inserts.
//! - **Votes and ballot count fit together** in every answer, because one statement reads both;
//!   see [`results::poll`].
//! - **Nothing is stale**: a shared read always begins after the request that it answers. What the
//!   read before it has found is used again only where the database says that it is the same
//!   ([`results::shared`]). The one thing held in memory is the [revocation list](auth), polled twice a
//!   second.
//! - **Writes outlive their client**: a request that changes something runs in a task of its own,
//!   but for ballots, which are counted once they are in the box.
//! - **No client takes what others need.** What can be used up is counted for each network and in
//!   sum ([`http::usage`]): connections, requests, bodies that have not arrived, answers that are
//!   not taken. A body is read before anything is reserved for its request. What keeps a core busy
//!   (passwords, large pages, large compressed answers) is done on threads of low priority, a few
//!   at once, for all networks in turn ([`background`], [`fair::FairSemaphore`]). Every call that
//!   costs more than a look into a table counts for a rate ([`http::rates`]). The tests in `tests/it/hostile.rs` are such clients.
//! - **Nothing depends on two machines' clocks**: revocations are numbered by the database, and
//!   limits in Redis go by the clock of Redis.
//! - **Every failure is a [`Failure`](failure::Failure)**, turned into problem+json in one place.
//! - **The spec is made from the types**, finished in [`http::spec`], checked in, and held current
//!   by a test. The router's knowledge of methods and query parameters comes from it too.
//! - **Who may import whom** is held by the `tidy` test.
//!
//! # What makes it fast
//!
//! - **One commit for everyone who waits**, and one query for all who ask: [`ballots`],
//!   [`results::Views`].
//! - **A batch is one parameter.** Its statements have the same text whatever its size, so they
//!   are planned once; see [`db::rows`]. Where a slot is taken, first ballots are counted along.
//! - **Who has arrived is taken along.** Before a query or a commit begins, the runtime gets to
//!   read the requests that are there: on SQLite hot reads × 1.2 with 64 clients and × 1.4 with
//!   256, ballots × 1.15 and × 1.08.
//! - **No scan, whatever the planner thinks.** Parameters with many ids made PostgreSQL and MariaDB
//!   read tables of some thousand rows from end to end; with [`db::among`] a question is read in
//!   half of the time among a thousand. A list follows the index of the rarest thing that it asks
//!   for, be it a word, an author or a status: where one of them is rare it passes by few others,
//!   and where all are common its page of 21 is soon full ([`results::list`]). What else
//!   it asks for has a form that no index is for ([`db::unindexed`]): after five times PostgreSQL
//!   plans a statement for any word or author, which it takes for a rare one, and took half a second
//!   for a page of 150,000 questions with a word by a busy author, which now takes four
//!   milliseconds. It is also forbidden to read a table from end to end, as it would
//!   with tables that grow faster than it learns: ballots over 1,000 questions × 1.02 to 1.1.
//! - **SQLite's thread is asked rarely**: each statement, and each row of an answer, costs two
//!   switches of threads. So several statements go together ([`db::Script`]), and many rows come
//!   back as one ([`db::documents`]). On the servers they come one by one: MariaDB would first
//!   write them into a table, and reads a question in half of the time without.
//! - **SQLite has a reader for each core**, and four at least: with ten on two cores it was no
//!   faster, and took 15 MiB more.
//! - **A request that waits takes little room.** Hundreds wait for a shared query or commit, and
//!   what each holds has to be in the processor's cache again when it goes on. So a request is with
//!   its handler before anything waits, with as little around it as can be (`Stack::answer`,
//!   [`http::Split`]), and what is rarely awaited is in a box: hot reads × 1.1 on SQLite with 64
//!   clients.
//! - **A connection looks for its end only when it is told of one**, not whenever there is
//!   something to read or to write. With what a request no longer moves along, `/healthz` takes
//!   19,000 instructions instead of 21,300 (a bare poem: 14,200): `/healthz` and hot reads × 1.06.
//! - **What has not changed is not read again.** Where a question is asked for all the time, the
//!   database tells first whether it is as it was; only what has changed is read and rendered
//!   anew: hot reads with 64 clients × 1.15 on MariaDB and × 1.1 on PostgreSQL; lists, which are
//!   put together once for all who share them, × 1.6, × 1.35, and × 1.27 on SQLite.
//! - **Answers are rendered once** for all who share a read, compressed ones too: that browsers
//!   take them compressed cost half of the reads and lists before.
//! - **A token's header is not decoded** where it is the text that our own tokens begin with, and
//!   a ballot needs no task of its own: ballots × 1.1 together.
//! - **One timer a connection**, not one a request: `/healthz` × 1.06 with 64 clients.
//!
//! What a request takes from the allocator (callgrind, 8 clients, so that some share a query or a
//! commit): `/healthz` 17 pieces, a read 48, a list 98, a ballot 148.
//!
//! # What was tried and dropped
//!
//! So that nobody tries it twice. Ratios are to what is there, medians of three alternating runs
//! on two cores shared with client and database:
//!
//! - Two batches in flight, on slots of their own: ballots/s on MariaDB × 1.05 with 64 clients and
//!   × 0.96 with 256, on PostgreSQL × 1.00 and × 0.99. Smaller batches cost more than is won. Two
//!   and three boxes, each with its share of the voters, when the server had become cheaper: with
//!   256 clients × 0.93 and × 0.78 on MariaDB, × 0.95 and × 0.93 on PostgreSQL.
//! - Fewer foreign keys. A ballot and its mark have four; without one of them ballots on PostgreSQL
//!   × 1.08, without three × 1.3. They stay.
//! - Forbidding PostgreSQL to collect pages of an index first (`enable_bitmapscan`), and nothing else:
//!   ballots over 1,000 questions × 0.4 with 256 clients, since it read tables from end to end.
//! - Telling PostgreSQL about empty tables (`ANALYZE` right after the migration): ballots over
//!   1,000 questions × 0.54, as it keeps scanning them while they grow.
//! - An allocator that gives memory back at once (`MIMALLOC_PURGE_DELAY=0`): ballots × 0.7 for
//!   half of the memory. After 50 ms instead of a second: × 0.95 for 8 MiB.
//! - The same allocator for SQLite (mimalloc's `override`): 6 MiB more with 256 clients.
//! - Huge pages for the allocator: 20 MiB more and no ballot more.
//! - Link-time optimisation of everything at once (`lto = "fat"`): reads × 1.02, ballots × 1.00,
//!   for a build that takes half as long again.

pub mod app;
pub mod auth;
pub mod background;
pub mod ballots;

pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod failure;
pub mod fair;
pub mod http;
pub mod input;
pub mod live;
pub mod load;
pub mod network;
pub mod page;
pub mod patch;
pub mod precondition;
pub mod questions;
pub mod results;
pub mod seed;
pub mod share;
pub mod telemetry;
pub mod text;
pub mod users;
pub mod watchdog;
pub mod web;
