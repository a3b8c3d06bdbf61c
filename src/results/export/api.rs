//! `/questions/{id}/export`.

use std::collections::HashMap;

use poem_openapi::param::{Path, Query};
use poem_openapi::registry::{MetaMediaType, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, Type as _};
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::{Exports, Format};
use crate::auth::guard::SignedIn;
use crate::ballots::roll::Voter;
use crate::clock::Time;
use crate::http::attachment::{Attachment, Files};
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::spec::Tag;
use crate::network::Network;
use crate::tally::{Method, Threshold, TieBreak};

/// The handlers of exports.
pub struct ExportApi {
    pub exports: Exports,
}

operations! {
    ExportBallots: MalformedRequest, Forbidden, NotFound, VotingOpen, FormatUnavailable;
}

#[OpenApi]
impl ExportApi {
    /// Export the ballots
    ///
    /// All ballots on a question as a file, for its author and admins, once voting has ended (409
    /// `voting_open` before). `polls tally FILE` counts it to the same outcome, and with `--method` by
    /// any other method for such ballots.
    ///
    /// The file has each distinct ballot with the number of those that are alike, in the order of what
    /// they say: neither who has cast them nor when. Where `ballot_secrecy` is `public`, CSV and JSON
    /// have each ballot with its voter and its times instead, and can be had at any time; ballots that
    /// are cast while the file is written may be missing. The order of the lot is in it once the lot
    /// has decided the result.
    ///
    /// In a CSV file a name that a spreadsheet would run as a formula begins with an apostrophe.
    #[oai(
        path = "/questions/:question_id/export",
        method = "get",
        operation_id = "exportBallots",
        tag = "Tag::Ballots"
    )]
    async fn export(
        &self,
        network: Network,
        signed_in: SignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The format of the file. `blt` is not for questions with `score` or `star`.
        #[oai(default = "csv")]
        format: Query<Format>,
    ) -> Result<Attachment<BallotFiles>, Refused<ExportBallots>> {
        let (id, format, caller) = (question_id.0, format.0, signed_in.caller);
        let export = self.exports.begin(id, format, caller, network).await?;
        let media = match format {
            Format::Csv => CSV,
            Format::Blt => BLT,
            Format::Json => JSON,
        };
        Ok(Attachment::new(
            media,
            &export.title,
            format.extension(),
            export.download,
        ))
    }
}

fn csv() -> Format {
    Format::Csv
}

const CSV: &str = "text/csv; charset=utf-8";
const BLT: &str = "text/plain; charset=utf-8";
// A type of its own: with `application/json` generated clients would take all formats for JSON.
const JSON: &str = "application/vnd.polls.election+json";

/// The formats of an export.
pub struct BallotFiles;

impl Files for BallotFiles {
    fn content() -> Vec<MetaMediaType> {
        let text = |content_type, example: &str| {
            let schema = MetaSchema {
                description: Some("The ballots on a question, as a file."),
                example: Some(example.into()),
                ..MetaSchema::new("string")
            };
            MetaMediaType {
                content_type,
                schema: MetaSchemaRef::Inline(Box::new(schema)),
            }
        };
        let json = MetaMediaType {
            content_type: JSON,
            schema: ElectionFile::schema_ref(),
        };
        vec![
            text(
                CSV,
                "# polls.method: multiple_choice\r\n# polls.seats: 1\r\n\
                 # polls.first_choice_column: 2\r\ncount,python,java\r\n2,1,\r\n1,,1\r\n",
            ),
            text(
                BLT,
                "# polls.method: instant_runoff\n# polls.seats: 1\n2 1\n2 1 2 0\n1 2 0\n0\n\
                 \"python\"\n\"java\"\n\"Which language?\"\n",
            ),
            json,
        ]
    }

    fn register(registry: &mut Registry) {
        ElectionFile::register(registry);
    }
}

/// The ballots on a question, as a file.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none, example)]
pub struct ElectionFile {
    /// The text of the question.
    pub name: String,
    pub method: Method,
    /// How many choices are elected.
    pub seats: i32,
    /// The highest score; only with `score` and `star`.
    pub max_score: Option<i32>,
    /// The least number of ballots without which nothing is decided.
    pub quorum: Option<i32>,
    pub threshold: Option<Threshold>,
    pub tie_break: TieBreak,
    /// All choices in the order of the lot; only where it has decided the result.
    pub lot: Option<Vec<String>>,
    /// The texts of the choices, in their order.
    pub choices: Vec<String>,
    /// Distinct ballots, or each ballot with its voter.
    pub ballots: Vec<BallotOfFile>,
}

/// Ballots that are alike, or a public one.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct BallotOfFile {
    /// Who has cast it; only if ballots are public.
    pub voter: Option<Voter>,
    /// When it was first cast; only if ballots are public.
    pub cast_at: Option<Time>,
    /// When it was last changed; only if ballots are public.
    pub updated_at: Option<Time>,
    /// How many ballots are alike; absent for a public one.
    pub count: Option<i64>,
    /// The texts of the choices: a set, or a ranking with the best first. Absent with `score` and
    /// `star`.
    pub ranking: Option<Vec<String>>,
    /// The scores above 0, by the texts of the choices; only with `score` and `star`.
    pub scores: Option<HashMap<String, i32>>,
}

impl Example for ElectionFile {
    fn example() -> Self {
        let ballot = |count: i64, ranking: &[&str]| BallotOfFile {
            voter: None,
            cast_at: None,
            updated_at: None,
            count: Some(count),
            ranking: Some(ranking.iter().map(|name| (*name).to_owned()).collect()),
            scores: None,
        };
        ElectionFile {
            name: "Which language for the next service?".to_owned(),
            method: Method::InstantRunoff,
            seats: 1,
            max_score: None,
            quorum: None,
            threshold: None,
            tie_break: TieBreak::Lot,
            lot: None,
            choices: ["python", "java"].map(str::to_owned).into(),
            ballots: vec![ballot(2, &["python", "java"]), ballot(1, &["java"])],
        }
    }
}
