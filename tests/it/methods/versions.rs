//! Processes of the version before, which know neither methods nor abstentions, beside new ones.

use polls::ballots::{entity as ballot, mark, recount, shard};
use polls::db::Db;
use polls::questions::{Draft, choice, entity as question, slot};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{METHODS, indices, prefer, results};
use crate::support::{Question, TestApp, User};

fn id(text: &str) -> Uuid {
    text.parse().expect("an id")
}

/// Asks a question with three choices as a process of the version before does: without the columns
/// that it does not know.
async fn ask_as_before(app: &TestApp, author: &User) -> Question {
    let now = app.clock.now();
    let draft = Draft::new("Which?", ["a", "b", "c"]);
    let asked = draft.question(id(&author.id), now);
    let question_id = asked.id;
    let asked = &question::ActiveModel {
        method: NotSet,
        seats: NotSet,
        choice_limit: NotSet,
        max_score: NotSet,
        tie_break: NotSet,
        quorum: NotSet,
        threshold: NotSet,
        lot_seed: NotSet,
        changes_allowed: NotSet,
        ..asked.into_active_model()
    };
    let choices = &(0..3).map(|position| choice::ActiveModel {
        id: Set(now.new_id()),
        question_id: Set(question_id),
        choice_text: Set(format!("choice {position}")),
        position: Set(position),
        ordinal: NotSet,
    });
    let choices: &Vec<choice::ActiveModel> = &choices.clone().collect();
    let asking = app.db.write(|transaction| async move {
        question::Entity::insert(asked.clone())
            .exec_without_returning(&transaction)
            .await?;
        choice::Entity::insert_many(choices.clone())
            .exec_without_returning(&transaction)
            .await?;
        Ok(())
    });
    asking.await.expect("it is asked");
    let ids = choices.iter().map(|choice| choice.id.as_ref().to_string());
    Question {
        id: question_id.to_string(),
        path: format!("/questions/{question_id}"),
        choices: ids.collect(),
    }
}

/// Casts a first ballot for a choice as a process of the version before does.
async fn vote_as_before(app: &TestApp, voter: &User, on: &Question, index: usize) {
    let (question_id, user_id) = (id(&on.id), id(&voter.id));
    let choice_id = id(&on.choices[index]);
    let now = app.clock.now();
    let casting = app.db.write(|transaction| async move {
        let slot = slot::ActiveModel {
            question_id: Set(question_id),
            // No process of this test has it.
            shard: Set(slot::SLOTS),
            seq: Set(1),
            ballots: Set(1),
            abstentions: NotSet,
        };
        slot::Entity::insert(slot)
            .exec_without_returning(&transaction)
            .await?;
        let ballot = ballot::ActiveModel {
            question_id: Set(question_id),
            user_id: Set(user_id),
            cast_at: Set(now),
            updated_at: Set(now),
            batch: NotSet,
        };
        ballot::Entity::insert(ballot)
            .exec_without_returning(&transaction)
            .await?;
        let mark = mark::ActiveModel {
            question_id: Set(question_id),
            user_id: Set(user_id),
            choice_id: Set(choice_id),
            value: NotSet,
        };
        mark::Entity::insert(mark)
            .exec_without_returning(&transaction)
            .await?;
        let votes = shard::ActiveModel {
            choice_id: Set(choice_id),
            shard: Set(slot::SLOTS),
            votes: Set(1),
        };
        shard::Entity::insert(votes)
            .exec_without_returning(&transaction)
            .await?;
        Ok(())
    });
    casting.await.expect("it is cast");
}

/// What a process of the version before knows about ballots on a question: `max_choices` and
/// `allow_change`.
async fn known_before(db: &Db, on: &Question) -> (i32, bool) {
    let found = question::Entity::find_by_id(id(&on.id)).one(db.read());
    let found = found.await.expect("it is read").expect("a question");
    (found.max_choices, found.older_allow_change)
}

#[tokio::test]
async fn questions_and_ballots_of_the_version_before_are_counted() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("other").await;
    let question = ask_as_before(&app, &author).await;
    let shown = app.get(&question.path).await.expect(200).json;
    for (field, value) in [
        ("method", json!("multiple_choice")),
        ("seats", json!(1)),
        ("min_choices", json!(1)),
        ("max_choices", json!(1)),
        ("allow_change", json!(true)),
        ("tie_break", json!("none")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    author.vote(&question, &[1]).await.expect(201);
    vote_as_before(&app, &other, &question, 2).await;
    let votes = async || {
        let results = results(&app, &question).await;
        let votes = (0..3).map(|choice| results["choices"][choice]["votes"].clone());
        votes.collect::<Vec<Value>>()
    };
    assert_eq!(votes().await, [0, 1, 1]);
    other.vote(&question, &[2]).await.expect(200);
    other.vote(&question, &[0]).await.expect(200);
    assert_eq!(votes().await, [1, 1, 0]);
    other.delete(&question.under("ballot")).await.expect(204);
    assert_eq!(votes().await, [0, 1, 0]);

    // Nobody has voted on this one yet, so it may become a ranked one.
    let ranked = ask_as_before(&app, &author).await;
    let change = json!({"method": "borda"});
    author.patch(&ranked.path, change).await.expect(200);
    author.vote(&ranked, &[2, 0]).await.expect(201);
    let outcome = results(&app, &ranked).await["outcome"].clone();
    assert_eq!(indices(&ranked, &outcome["elected_choice_ids"]), [2]);
    let differences = recount::check(&app.db).await.expect("it is checked");
    assert_eq!(differences, []);
}

/// A process of the version before would count a ranking as a set, and forget abstentions. What it
/// reads tells it to refuse ballots, and to let nobody change or withdraw one.
#[tokio::test]
async fn processes_of_the_version_before_leave_other_ballots_alone() {
    let (app, author) = TestApp::with_user("lucy").await;
    let ask = async |more: Value| author.ask(&["a", "b", "c"], more).await;
    let known = async |question: &Question| known_before(&app.db, question).await;
    for method in METHODS {
        for (fields, is_known) in [
            (json!({"method": method}), method == "multiple_choice"),
            (json!({"method": method, "min_choices": 0}), false),
        ] {
            let question = ask(fields.clone()).await;
            let expected = if is_known { (1, true) } else { (0, false) };
            assert_eq!(known(&question).await, expected, "{fields}");
            let shown = app.get(&question.path).await.expect(200).json;
            assert_eq!(shown["allow_change"], true, "{fields}");
            for (choice, status) in [(1, 201), (2, 200)] {
                let cast = prefer(&author, &question, method, choice).await;
                cast.expect(status);
            }
            author.delete(&question.under("ballot")).await.expect(204);
        }
        let more = json!({"method": method, "allow_change": false});
        let question = ask(more).await;
        prefer(&author, &question, method, 1).await.expect(201);
        let changed = prefer(&author, &question, method, 2).await;
        changed.problem("already_voted").expect(409);
        let withdrawn = author.delete(&question.under("ballot")).await;
        withdrawn.problem("ballot_final").expect(409);
    }

    let question = ask(json!({"max_choices": 2})).await;
    assert_eq!(known(&question).await, (2, true));
    for (patch, expected) in [
        (json!({"method": "borda"}), (0, false)),
        (json!({"max_choices": 3}), (0, false)),
        (json!({"method": "multiple_choice"}), (3, true)),
        (json!({"allow_change": false}), (3, false)),
        (json!({"min_choices": 0}), (0, false)),
        (json!({"allow_change": true}), (0, false)),
        (json!({"min_choices": 1}), (3, true)),
    ] {
        let changed = author
            .patch(&question.path, patch.clone())
            .await
            .expect(200);
        assert_eq!(known(&question).await, expected, "{patch}");
        let changes = patch
            .get("allow_change")
            .unwrap_or(&changed.json["allow_change"]);
        assert_eq!(changed.json["allow_change"], *changes, "{patch}");
    }
}
