//! What somebody who has the database finds in it: the rows of a question in every order that the
//! engine keeps, and which of them were written together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row as _};
use sqlx::{SqliteConnection, raw_sql};
use uuid::Uuid;

use crate::support::engine;

/// What is stored about a thing: a voter, or a ballot.
#[derive(Default)]
pub struct Traces {
    /// The things in an order, and where that is from.
    pub orders: Vec<(String, Vec<Uuid>)>,
    /// What was written together has the same number, such as that of a transaction. Numbers of the
    /// same kind can be compared between voters and ballots.
    pub groups: Vec<(&'static str, HashMap<Uuid, u64>)>,
}

/// The traces of voters and of ballots.
#[derive(Default)]
pub struct Tables {
    pub voters: Traces,
    pub ballots: Traces,
    /// How often each ballot is in a file, in its rows or in what is left of deleted ones.
    pub copies: HashMap<Uuid, usize>,
}

/// A row of a table: its thing, and what the engine knows of it.
struct Row {
    thing: Uuid,
    number: u64,
}

impl Traces {
    /// Adds the order in which things come first in the rows, the order by number, and the groups of
    /// equal numbers.
    fn add(&mut self, from: &str, kind: &'static str, rows: &[Row]) {
        let mut things: Vec<Uuid> = Vec::new();
        let mut numbers = HashMap::new();
        for row in rows {
            if !numbers.contains_key(&row.thing) {
                things.push(row.thing);
            }
            numbers.entry(row.thing).or_insert(row.number);
        }
        self.orders.push((format!("{from}, place"), things.clone()));
        // Stable: equal numbers stay in the order of their places.
        things.sort_by_key(|thing| numbers[thing]);
        self.orders.push((format!("{from}, {kind}"), things));
        self.groups.push((kind, numbers));
    }
}

/// Reads all that there is of a question. `by_contents` names the ballot with these contents, as the
/// profile has them, if there is only one.
pub async fn read(folder: &Path, question: Uuid, by_contents: &BTreeMap<Vec<u8>, Uuid>) -> Tables {
    let url = engine::database_url(folder);
    if url.starts_with("postgres") {
        in_postgres(&url, question, by_contents).await
    } else if url.starts_with("sqlite") {
        in_sqlite(&folder.join("polls.db"), &url, question, by_contents).await
    } else {
        in_mariadb(&url, question, by_contents).await
    }
}

/// PostgreSQL shows the place of each row (`ctid`) and the transaction that inserted it (`xmin`).
async fn in_postgres(url: &str, question: Uuid, by_contents: &BTreeMap<Vec<u8>, Uuid>) -> Tables {
    let mut database = PgConnection::connect(url).await.expect("the database");
    let mut rows = async |table: &str, key: &str| {
        let sql = format!(
            "SELECT {key}, CAST(CAST(xmin AS text) AS bigint) FROM {table} \
             WHERE question_id = '{question}' ORDER BY ctid"
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut database).await;
        let rows = rows.expect("the rows").into_iter();
        let read = rows.map(|row| {
            let number: i64 = row.get_unchecked(1);
            (row.get_unchecked::<String, _>(0), number.unsigned_abs())
        });
        read.collect::<Vec<(String, u64)>>()
    };
    let things = |rows: Vec<(String, u64)>| {
        let rows = rows.into_iter().map(|(id, number)| Row {
            thing: id.parse().expect("an id"),
            number,
        });
        rows.collect::<Vec<Row>>()
    };
    let mut tables = Tables::default();
    let roll = things(rows("ballots", "user_id::text").await);
    tables.voters.add("the roll", "xmin", &roll);
    for table in ["anonymous_ballots", "anonymous_marks"] {
        let found = things(rows(table, "receipt::text").await);
        tables.ballots.add(table, "xmin", &found);
    }
    let profile = rows("profile_shards", "encode(ballot, 'hex')").await;
    let profile = profile.into_iter().filter_map(|(contents, number)| {
        let thing = by_contents.get(&bytes(&contents))?;
        Some(Row {
            thing: *thing,
            number,
        })
    });
    let profile: Vec<Row> = profile.collect();
    tables.ballots.add("the profile", "xmin", &profile);
    database.close().await.expect("it closes");
    tables
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("digits"))
        .collect()
}

/// SQLite stores a row of these tables as a record: the length of its header, the types of its
/// columns, then the columns, those of the key first.
async fn in_sqlite(
    file: &Path,
    url: &str,
    question: Uuid,
    by_contents: &BTreeMap<Vec<u8>, Uuid>,
) -> Tables {
    let mut database = SqliteConnection::connect(url).await.expect("the database");
    let checkpoint = raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let done = checkpoint
        .fetch_one(&mut database)
        .await
        .expect("a checkpoint");
    assert_eq!(done.get_unchecked::<i64, _>(0), 0, "a reader holds the WAL");
    let mut ids = async |sql: &'static str| {
        let rows = sqlx::query(sql).bind(question.as_bytes().to_vec());
        let rows = rows.fetch_all(&mut database).await.expect("the rows");
        let ids = rows.iter().map(|row| row.get_unchecked::<Vec<u8>, _>(0));
        ids.collect::<HashSet<_>>()
    };
    let users = ids("SELECT user_id FROM ballots WHERE question_id = ?").await;
    let receipts = ids("SELECT receipt FROM anonymous_ballots WHERE question_id = ?").await;
    database.close().await.expect("it closes");

    /// The type of a blob of this length.
    const fn blob(length: usize) -> u8 {
        (12 + 2 * length) as u8
    }
    let file = fs::read(file).expect("the file");
    let (mut roll, mut ballots, mut profile) = (Vec::new(), Vec::new(), Vec::new());
    for at in all_places(&file, question.as_bytes()) {
        let (types, key) = (&file[at - 4..at], &file[at + 16..]);
        // At the end of the file is no record.
        let Some(id) = key.get(..16) else {
            continue;
        };
        let row = |thing: &[u8]| Row {
            thing: Uuid::from_slice(thing).expect("16 bytes"),
            number: at as u64 / 4096,
        };
        if users.contains(id) {
            roll.push(row(id));
        } else if receipts.contains(id) {
            ballots.push(row(id));
        } else if types[0] == blob(16) && types[2] > blob(0) {
            // 0 and 1 have types of their own, and no bytes.
            let slot = usize::from(types[1] == 1);
            let length = usize::from(types[2] - blob(0)) / 2;
            let thing = by_contents.get(&key[slot..slot + length]);
            profile.extend(thing.map(|thing| row(thing.as_bytes())));
        }
    }
    let mut tables = Tables::default();
    tables.voters.add("the roll", "page", &roll);
    for ballot in &ballots {
        *tables.copies.entry(ballot.thing).or_default() += 1;
    }
    tables.ballots.add("ballots and marks", "page", &ballots);
    ballots.reverse();
    tables
        .ballots
        .add("ballots and marks, last", "page", &ballots);
    tables.ballots.add("the profile", "page", &profile);
    tables
}

/// InnoDB stores a row as its key, then the number of the transaction that wrote it last.
async fn in_mariadb(url: &str, question: Uuid, by_contents: &BTreeMap<Vec<u8>, Uuid>) -> Tables {
    let url = url.replacen("mariadb:", "mysql:", 1);
    let mut database = MySqlConnection::connect(&url).await.expect("the database");
    let mut run = async |sql: String| {
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut database).await;
        let rows = rows.expect("it is done").into_iter();
        rows.map(|row| row.get_unchecked::<String, _>(0))
            .collect::<Vec<_>>()
    };
    let folder = run("SELECT CONCAT(@@datadir, DATABASE())".to_owned()).await;
    let of_question = format!("WHERE question_id = unhex('{}')", question.simple());
    let users = run(format!("SELECT hex(user_id) FROM ballots {of_question}")).await;
    let receipts = format!("SELECT hex(receipt) FROM anonymous_ballots {of_question}");
    let receipts = run(receipts).await;
    // Other values are those of deleted rows, which stay in the file until they are overwritten.
    let sealed =
        format!("SELECT DISTINCT CAST(sealed AS char) FROM anonymous_ballots {of_question}");
    let shards = format!("SELECT DISTINCT CAST(shard AS char) FROM profile_shards {of_question}");
    let (sealed, shards) = (run(sealed).await, run(shards).await);
    // Writes what is in memory to the files, which do not change until the tables are unlocked.
    let names = [
        "ballots",
        "anonymous_ballots",
        "anonymous_marks",
        "profile_shards",
    ];
    let lock = format!("FLUSH TABLES {} FOR EXPORT", names.join(", "));
    raw_sql(AssertSqlSafe(lock))
        .execute(&mut database)
        .await
        .expect("a lock");
    let files = names.map(|name| fs::read(format!("{}/{name}.ibd", folder[0])).expect("its file"));
    raw_sql("UNLOCK TABLES")
        .execute(&mut database)
        .await
        .expect("no lock");
    database.close().await.expect("it closes");

    let ids = |rows: Vec<String>| {
        rows.iter()
            .map(|id| bytes(id))
            .collect::<HashSet<Vec<u8>>>()
    };
    let (users, receipts) = (ids(users), ids(receipts));
    // The rows of a file: `read` tells of a key, after the question, its thing and its length.
    let rows = |file: &[u8], read: &dyn Fn(usize, &[u8]) -> Option<(Uuid, usize)>| {
        let rows = all_places(file, question.as_bytes())
            .into_iter()
            .filter_map(|at| {
                let key = &file[at + 16..];
                let (thing, length) = read(at, key)?;
                let number = key.get(length..length + 6)?.iter();
                let number = number.fold(0, |number, byte| number << 8 | u64::from(*byte));
                Some(Row { thing, number })
            });
        rows.collect::<Vec<Row>>()
    };
    let id = |known: &HashSet<Vec<u8>>, id: Option<&[u8]>| {
        let id = known.get(id?)?;
        Some(Uuid::from_slice(id).expect("16 bytes"))
    };
    let is_one_of = |numbers: &[String], key: &[u8]| {
        let has = |number: &String| {
            number
                .parse()
                .is_ok_and(|number| key.get(3) == Some(&number))
        };
        numbers.iter().any(has)
    };
    // Before the receipt stands `sealed`.
    let receipt = |key: &[u8]| {
        let thing = id(&receipts, key.get(4..20));
        thing.filter(|_| is_one_of(&sealed, key))
    };
    let [roll, ballots, marks, profiles] = &files;
    let mut tables = Tables::default();
    let roll = rows(roll, &|_, key| Some((id(&users, key.get(..16))?, 16)));
    tables.voters.add("the roll", "transaction", &roll);
    let ballots = rows(ballots, &|_, key| Some((receipt(key)?, 20)));
    tables.ballots.add("ballots", "transaction", &ballots);
    // After it stands the choice.
    let marks = rows(marks, &|_, key| Some((receipt(key)?, 36)));
    tables.ballots.add("marks", "transaction", &marks);
    let profile = rows(profiles, &|at, key| {
        // The length of the contents stands before the five bytes of the record's header.
        let end = 4 + usize::from(profiles[at - 6]);
        let thing = by_contents.get(key.get(4..end)?)?;
        is_one_of(&shards, key).then_some((*thing, end))
    });
    tables.ballots.add("the profile", "transaction", &profile);
    tables
}

/// Where a file has these bytes.
fn all_places(file: &[u8], wanted: &[u8]) -> Vec<usize> {
    let starts = file.windows(wanted.len()).enumerate();
    let found = starts.filter(|(_, bytes)| bytes[0] == wanted[0] && *bytes == wanted);
    found.map(|(at, _)| at).collect()
}
