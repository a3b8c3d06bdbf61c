//! Sample data: the tutorial's story, or any amount of it to try the server under load.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sea_orm::{EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};
use uuid::Uuid;

use crate::app::App;
use crate::ballots::{Paper, Score};
use crate::clock::Clock;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::input::Number;
use crate::network::Network;
use crate::progress::Bar;
use crate::questions::draft::Description;
use crate::questions::{self, Draft, choices};
use crate::tally::{BallotKind, Method};
use crate::users::entity::Model as User;
use crate::users::{self, Caller, Registration, Role, Standing};

/// The tutorial's users: name, phone, email.
const USERS: [(&str, &str, &str); 3] = [
    ("露西", "16666666661", "luxi@qq.com"),
    ("南希", "16666666662", "nanxi@qq.com"),
    ("雪灵", "16666666663", "xueling@qq.com"),
];

/// Further voters: the story has six ballots on each question.
const VOTERS: [(&str, &str, &str); 3] = [
    ("Ada", "16666666664", "ada@example.org"),
    ("Grace", "16666666665", "grace@example.org"),
    ("Linus", "16666666666", "linus@example.org"),
];

/// A question with its choices and, for each voter in turn, what they choose: a set, a ranking, or a
/// score for each choice.
struct Story {
    question_text: &'static str,
    description: &'static str,
    choices: &'static [&'static str],
    method: Method,
    /// None for the default of the method.
    max_choices: Option<i32>,
    ballots: [&'static [usize]; 6],
}

const STORIES: [Story; 5] = [
    Story {
        question_text: "最受欢迎的计算机语言?",
        description: "每人一票。",
        choices: &["python", "java", "go"],
        method: Method::MultipleChoice,
        max_choices: None,
        ballots: [&[0], &[0], &[0], &[1], &[1], &[2]],
    },
    Story {
        question_text: "最受欢迎的水果?",
        description: "每人一票。",
        choices: &["香蕉", "苹果", "草莓"],
        method: Method::MultipleChoice,
        max_choices: None,
        ballots: [&[0], &[1], &[0], &[2], &[1], &[0]],
    },
    Story {
        question_text: "What makes a good poll?",
        description: "Name up to three.",
        choices: &[
            "A clear question",
            "Few choices",
            "Live results",
            "Secret ballots",
            "A deadline",
        ],
        method: Method::MultipleChoice,
        max_choices: Some(3),
        ballots: [&[0, 1, 2], &[0, 3], &[0, 2, 4], &[1], &[0, 2], &[2, 3, 4]],
    },
    // The leader in first choices loses: after Berlin is eliminated, Prague has four of six.
    Story {
        question_text: "Where shall we meet next year?",
        description: "Rank the cities, the best first.",
        choices: &["Berlin", "Prague", "Vienna", "Zürich"],
        method: Method::InstantRunoff,
        max_choices: None,
        ballots: [
            &[2, 3],
            &[2, 0, 1],
            &[1, 0, 2],
            &[1, 2],
            &[0, 1, 2, 3],
            &[3, 1, 0],
        ],
    },
    Story {
        question_text: "周末去哪里玩？",
        description: "给每个地方打 0 到 5 分。",
        choices: &["爬山", "海边", "博物馆"],
        method: Method::Star,
        max_choices: None,
        ballots: [
            &[5, 4, 0],
            &[5, 3, 1],
            &[0, 4, 5],
            &[1, 5, 2],
            &[0, 3, 5],
            &[4, 5, 0],
        ],
    },
];

/// An account that was made, with its password, which is stored nowhere else.
#[derive(Debug)]
pub struct Made {
    pub name: &'static str,
    pub phone: &'static str,
    pub email: &'static str,
    pub password: String,
}

/// Loads the tutorial's users, questions and ballots. [`Code::AccountTaken`] where they are there.
pub async fn story(app: &App) -> Result<Vec<Made>, Failure> {
    let mut made = Vec::new();
    let mut ids = Vec::new();
    for (name, phone, email) in USERS.into_iter().chain(VOTERS) {
        let password = password();
        let new = Registration {
            name: name.to_owned(),
            email: email.to_owned(),
            phone: Some(format!("+86{phone}")),
            password: password.clone(),
        };
        let user =
            app.accounts.create_account(new, Role::User).await.map_err(
                |failure| match failure.code {
                    Code::AccountTaken => failure.detail("The sample data is there already."),
                    _ => failure,
                },
            )?;
        ids.push(user.id);
        made.push(Made {
            name,
            phone,
            email,
            password,
        });
    }
    for (story, author) in STORIES.iter().zip(&ids) {
        ask(app, story, *author, &ids).await?;
    }
    Ok(made)
}

/// Asks the question of a story, and casts its ballots.
async fn ask(app: &App, story: &Story, author: Uuid, voters: &[Uuid]) -> Result<(), Failure> {
    let draft = Draft {
        description: Some(Description::new(story.description)),
        method: story.method,
        max_choices: story.max_choices.map(Number),
        ..Draft::new(story.question_text, story.choices)
    };
    let questions = app.questions.clone().without_quotas();
    let question = questions.create(author, &draft).await?;
    let choices = choices::of(app.db.read(), question).await?;
    for (voter, chosen) in voters.iter().zip(story.ballots) {
        let paper = match story.method.ballot_kind() {
            BallotKind::Scores => Paper::Scores(
                choices
                    .iter()
                    .zip(chosen)
                    .map(|(choice, score)| Score::new(choice.id, *score as i32))
                    .collect(),
            ),
            BallotKind::Set | BallotKind::Ranking => {
                Paper::Choices(chosen.iter().map(|index| choices[*index].id).collect())
            }
        };
        cast(app, *voter, question, paper).await?;
    }
    Ok(())
}

async fn cast(app: &App, voter: Uuid, question: Uuid, paper: Paper) -> Result<(), Failure> {
    let caller = Caller {
        id: voter,
        standing: Standing::User,
    };
    let network = Network::of(None);
    let cast = app.ballots.cast(caller, network, question, paper, None);
    cast.await.map(drop)
}

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub users: u32,
    pub guests: u32,
    pub questions: u32,
    /// 2 to 100 for each question.
    pub choices: u32,
    /// At most one for each user and question.
    pub ballots: u64,
}

/// How many rows go into one transaction.
const BATCH: usize = 500;

/// How many questions are read at once, and how many ballots are cast at once. Ballots that are
/// cast at once share commits.
const QUESTIONS_AT_ONCE: usize = 16;
const BALLOTS_AT_ONCE: usize = 2000;

/// Stores users, and shows how far that is.
async fn insert(db: &Db, name: &'static str, users: Vec<User>) -> Result<(), Failure> {
    let bar = Bar::new(false, users.len() as u64, name);
    for some in users.chunks(BATCH) {
        db.write(|transaction| async move {
            let rows = some.iter().cloned().map(User::into_active_model);
            users::entity::Entity::insert_many(rows)
                .exec_without_returning(&transaction)
                .await?;
            Ok(())
        })
        .await?;
        bar.advance(some.len() as u64);
    }
    Ok(())
}

/// Makes users with one password, guests, questions that they ask in turn, and ballots of theirs, spread
/// evenly over the questions. Returns the password.
pub async fn bulk(app: &App, amount: Amount) -> Result<String, Failure> {
    let db = &app.db;
    let password = password();
    // One hash for all users: hashing is slow on purpose.
    let hash = app.accounts.hash(password.clone()).await?;
    let before = users::entity::Entity::find().count(db.read()).await?;
    let users = (before..).take(amount.users as usize);
    let users: Vec<_> = users
        .map(|number| sample_user(number, &hash, &app.clock))
        .collect();
    let authors: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    insert(db, "users", users).await?;
    let guests = (0..amount.guests).map(|_| sample_guest(&app.clock, app.config.auth.guest_ttl));
    insert(db, "guests", guests.collect()).await?;
    let mut drafts = (0..amount.questions)
        .zip(authors.iter().copied().cycle())
        .map(|(index, author)| {
            let text = format!("Sample question {index}: which one?");
            let choices = 1..=amount.choices;
            let choices = choices.map(|choice| format!("Choice {choice}"));
            (author, Draft::new(&text, choices))
        });
    let mut asked = Vec::new();
    let bar = Bar::new(false, amount.questions.into(), "questions");
    loop {
        let some: Vec<_> = drafts.by_ref().take(questions::MAX_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let some = app.questions.create_all(some).await?;
        bar.advance(some.len() as u64);
        asked.extend(some);
    }
    drop(bar);
    if !asked.is_empty() {
        let tables = ["users", "questions", "choices", "search_terms"];
        db.analyze(&tables).await?;
    }
    if amount.ballots > 0 {
        vote(app, &asked, &authors, amount.ballots).await?;
        let tables = [
            "ballots",
            "ballot_marks",
            "question_shards",
            "choice_shards",
        ];
        db.analyze(&tables).await?;
    }
    Ok(password)
}

/// Casts this many ballots, at most one for each user and question.
async fn vote(app: &App, questions: &[Uuid], users: &[Uuid], amount: u64) -> Result<(), Failure> {
    let choices = stream::iter(questions.iter().map(async |question| {
        let choices = choices::of(app.db.read(), *question).await?;
        Ok::<_, Failure>(choices.iter().map(|choice| choice.id).collect::<Vec<_>>())
    }));
    let choices: Vec<Vec<Uuid>> = choices.buffered(QUESTIONS_AT_ONCE).try_collect().await?;
    let pairs = users.iter().enumerate().flat_map(|(number, user)| {
        let papers = questions.iter().zip(&choices);
        papers.map(move |(question, choices)| (*user, *question, choices[number % choices.len()]))
    });
    let pairs = pairs.take(usize::try_from(amount).unwrap_or(usize::MAX));
    let bar = &Bar::new(false, amount, "ballots");
    stream::iter(pairs.map(Ok))
        .try_for_each_concurrent(BALLOTS_AT_ONCE, async |(user, question, choice)| {
            let paper = Paper::Choices(vec![choice]);
            cast(app, user, question, paper).await?;
            bar.advance(1);
            Ok(())
        })
        .await
}

fn sample_user(number: u64, hash: &str, clock: &Clock) -> User {
    let now = clock.now();
    let id = now.new_id();
    // With a part of the id, so that the address is not taken by an earlier user.
    let email = format!(
        "user{number}.{}@example.org",
        &id.simple().to_string()[20..]
    );
    User {
        id,
        name: Some(format!("User {number}")),
        email_key: Some(email.clone()),
        email: Some(email),
        verified_email_key: None,
        phone: None,
        password_hash: Some(hash.to_owned()),
        standing: Standing::User,
        guest_expires_at: None,
        disabled_at: None,
        deleted_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

/// A guest who has just been made.
fn sample_guest(clock: &Clock, ttl: Duration) -> User {
    let now = clock.now();
    User {
        id: users::random_id(),
        name: None,
        email_key: None,
        email: None,
        verified_email_key: None,
        phone: None,
        password_hash: None,
        standing: Standing::Guest,
        guest_expires_at: Some(now.after(ttl)),
        disabled_at: None,
        deleted_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

/// A password of 120 random bits.
fn password() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>())
}
