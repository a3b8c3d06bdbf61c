//! Lets searches find questions by the beginnings of words, and by the texts of their choices.
//!
//! The search terms of every question are written anew. Processes of the previous version, which
//! still run during an upgrade, store only whole words of the question's text: such a question is
//! found by its choices once its text or choices are changed.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::prelude::Uuid;
use sea_orm_migration::sea_orm::{ConnectionTrait, TransactionSession, TransactionTrait};
use unicode_normalization::UnicodeNormalization as _;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// How many questions one transaction indexes.
const PIECE: u64 = 100;

/// How many terms one statement inserts.
const ROWS: usize = 1_000;

const MAX_LENGTH: usize = 64;
const MAX_TERMS: usize = 2_000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        index(manager.get_connection(), terms).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        index(manager.get_connection(), terms_before).await
    }
}

struct Question {
    id: Uuid,
    created_at: i64,
    /// The question's text, then those of the choices in their order.
    texts: Vec<String>,
}

/// Gives every question the terms of its texts. Can be run again after an interruption.
async fn index(
    db: &(impl ConnectionTrait + TransactionTrait),
    terms: fn(&[String]) -> BTreeSet<String>,
) -> Result<(), DbErr> {
    let mut last = None;
    loop {
        let questions = questions_after(db, last).await?;
        let Some(end) = questions.last() else {
            return Ok(());
        };
        last = Some(end.id);
        let transaction = db.begin().await?;
        let ids = questions.iter().map(|question| question.id);
        let former = Query::delete()
            .from_table("search_terms")
            .and_where(Expr::col("question_id").is_in(ids))
            .take();
        transaction.execute(&former).await?;
        let rows = questions.iter().flat_map(|question| {
            let terms = terms(&question.texts).into_iter();
            terms.map(|term| (term, question.created_at, question.id))
        });
        let rows: Vec<(String, i64, Uuid)> = rows.collect();
        for rows in rows.chunks(ROWS) {
            let mut insert = Query::insert()
                .into_table("search_terms")
                .columns(["term", "created_at", "question_id"])
                .take();
            for (term, created_at, id) in rows {
                insert.values_panic([term.into(), (*created_at).into(), (*id).into()]);
            }
            transaction.execute(&insert).await?;
        }
        transaction.commit().await?;
    }
}

async fn questions_after(
    db: &impl ConnectionTrait,
    last: Option<Uuid>,
) -> Result<Vec<Question>, DbErr> {
    let questions = Query::select()
        .columns(["id", "created_at", "question_text"])
        .from("questions")
        .and_where_option(last.map(|last| Expr::col("id").gt(last)))
        .order_by("id", Order::Asc)
        .limit(PIECE)
        .take();
    let mut found = BTreeMap::new();
    for row in db.query_all(&questions).await? {
        let question = Question {
            id: row.try_get("", "id")?,
            created_at: row.try_get("", "created_at")?,
            texts: vec![row.try_get("", "question_text")?],
        };
        found.insert(question.id, question);
    }
    let choices = Query::select()
        .columns(["question_id", "choice_text"])
        .from("choices")
        .and_where(Expr::col("question_id").is_in(found.keys().copied()))
        .order_by("question_id", Order::Asc)
        .order_by("position", Order::Asc)
        .order_by("id", Order::Asc)
        .take();
    for row in db.query_all(&choices).await? {
        let id: Uuid = row.try_get("", "question_id")?;
        if let Some(question) = found.get_mut(&id) {
            question.texts.push(row.try_get("", "choice_text")?);
        }
    }
    Ok(found.into_values().collect())
}

/// The terms in this version: of all texts the words with their beginnings, and the characters and
/// pairs of Chinese, Japanese and Korean.
fn terms(texts: &[String]) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for word in texts.iter().flat_map(|text| words(text)) {
        let ends = word.text.char_indices().map(|(end, _)| end).skip(2);
        let beginnings = ends.filter(|_| !word.is_unspaced);
        let beginnings = beginnings.map(|end| word.text[..end].to_owned());
        for term in beginnings.chain(word.whole()) {
            if terms.len() == MAX_TERMS {
                return terms;
            }
            terms.insert(term);
        }
    }
    terms
}

/// The terms in the previous version: only of the question's text, without beginnings.
fn terms_before(texts: &[String]) -> BTreeSet<String> {
    let words = texts.iter().take(1).flat_map(|text| words(text));
    words.flat_map(|word| word.whole()).collect()
}

struct Word {
    text: String,
    /// Whether it is of a script without spaces.
    is_unspaced: bool,
}

impl Word {
    fn whole(&self) -> Vec<String> {
        if !self.is_unspaced {
            return vec![self.text.clone()];
        }
        let characters: Vec<char> = self.text.chars().collect();
        let pairs = characters.windows(2).map(|pair| pair.iter().collect());
        let single = characters.iter().map(char::to_string);
        pairs.chain(single).collect()
    }
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let folded = fold(text);
    for run in folded.split(|c: char| !c.is_alphanumeric()) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let is_unspaced = is_unspaced(first);
            let end = rest.find(|c| self::is_unspaced(c) != is_unspaced);
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            let length = if is_unspaced { usize::MAX } else { MAX_LENGTH };
            words.push(Word {
                text: word.chars().take(length).collect(),
                is_unspaced,
            });
            rest = after;
        }
    }
    words
}

/// Han, kana and hangul.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{1100}'..='\u{11ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}')
}

fn fold(text: &str) -> String {
    let text: String = text.trim().nfc().collect();
    caseless::default_case_fold_str(&text).nfc().collect()
}
