//! How an outcome came about, as clients see it.
//!
//! An explanation is written by [`tally`](crate::tally) itself, in exact decimal numbers. The other
//! types here describe it in the OpenAPI document; no value of theirs is ever made.

use std::borrow::Cow;

use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Enum, Object};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::tally::{self, TieBrokenBy};

/// How an outcome came about, which depends on the method.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Explanation(pub tally::Explanation<Uuid>);

/// The rounds of `instant_runoff` and `single_transferable_vote`.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct RoundsExplanation {
    kind: RoundsKind,
    /// The votes that elect a choice; only with `single_transferable_vote`.
    quota: Option<i64>,
    /// The first round comes first.
    rounds: Vec<CountRound>,
}

/// What the explanation is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum RoundsKind {
    Rounds,
}

/// One round. The sum of the tallies and `exhausted` is the number of ballots that choose something.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct CountRound {
    /// The first round is 1.
    round: i32,
    /// The votes of every choice that is not eliminated, before the transfers of the round.
    tallies: Vec<CountTally>,
    /// The votes of ballots that name no continuing choice, and what truncation has lost.
    exhausted: f64,
    /// Who is elected in this round.
    elected_choice_ids: Vec<Uuid>,
    /// Who is eliminated in this round.
    eliminated_choice_ids: Vec<Uuid>,
    /// The votes that move on.
    transfers: Vec<CountTransfer>,
    /// Present if choices were tied for the elimination or for the next surplus.
    tie_broken_by: Option<TieBrokenBy>,
}

/// The votes of a choice in a round.
#[derive(Object)]
struct CountTally {
    /// The choice.
    choice_id: Uuid,
    /// With up to five decimals.
    votes: f64,
}

/// Votes that move from one choice to another.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct CountTransfer {
    /// The choice that gives them away.
    from_choice_id: Uuid,
    /// The choice that gets them; absent if no choice does.
    to_choice_id: Option<Uuid>,
    /// With up to five decimals.
    votes: f64,
}

/// All choices head to head, for `ranked_pairs`.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct PairsExplanation {
    kind: PairsKind,
    /// In the order of locking. Pairs with as many for as against come last.
    pairs: Vec<RankedPair>,
    /// The choice that beats every other one head to head, if there is one.
    condorcet_winner_id: Option<Uuid>,
}

/// What the explanation is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum PairsKind {
    Pairs,
}

/// Two choices head to head.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct RankedPair {
    /// The choice that more ballots prefer.
    winner_id: Uuid,
    /// The other choice.
    loser_id: Uuid,
    /// How many ballots prefer the winner.
    #[oai(rename = "for")]
    supporting: i64,
    /// How many ballots prefer the loser.
    #[oai(rename = "against")]
    opposing: i64,
    /// Whether the pair counts. A pair that would close a circle with those before does not.
    locked: bool,
    /// Present if the lot decided between this pair and others that are as strong.
    tie_broken_by: Option<TieBrokenBy>,
}

/// The points of `borda`.
#[derive(Object)]
struct PointsExplanation {
    kind: PointsKind,
    /// In the order of the choices.
    totals: Vec<PointTotal>,
}

/// What the explanation is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum PointsKind {
    Points,
}

/// The points of a choice.
#[derive(Object)]
struct PointTotal {
    /// The choice.
    choice_id: Uuid,
    /// A multiple of one half.
    points: f64,
}

/// The run-off of `star` between the two choices with the highest sums.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct RunoffExplanation {
    kind: RunoffKind,
    /// The higher sum first.
    finalist_ids: Vec<Uuid>,
    /// How many ballots score each finalist higher than the other.
    preferring: Vec<Preferring>,
    /// How many ballots score both alike, abstentions included.
    no_preference: i64,
    /// Present if choices were tied for a place in the run-off.
    finalists_tie_broken_by: Option<TieBrokenBy>,
    /// The tie of the run-off; if there was none, the tie for a place in it.
    tie_broken_by: Option<TieBrokenBy>,
}

/// What the explanation is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum RunoffKind {
    Runoff,
}

/// The ballots that prefer a finalist.
#[derive(Object)]
struct Preferring {
    /// The finalist.
    choice_id: Uuid,
    /// How many they are.
    ballots: i64,
}

impl Type for Explanation {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Explanation".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            let (mut one_of, mut mapping) = (Vec::new(), Vec::new());
            let mut add = |kind: &str, register: fn(&mut Registry), schema: MetaSchemaRef| {
                register(registry);
                if let MetaSchemaRef::Reference(name) = &schema {
                    mapping.push((kind.to_owned(), format!("#/components/schemas/{name}")));
                }
                one_of.push(schema);
            };
            add(
                "rounds",
                RoundsExplanation::register,
                RoundsExplanation::schema_ref(),
            );
            add(
                "pairs",
                PairsExplanation::register,
                PairsExplanation::schema_ref(),
            );
            add(
                "points",
                PointsExplanation::register,
                PointsExplanation::schema_ref(),
            );
            add(
                "runoff",
                RunoffExplanation::register,
                RunoffExplanation::schema_ref(),
            );
            MetaSchema {
                description: Some(
                    "How the outcome came about, which depends on the method. Only with \
                     `explain=true`, and absent where nothing is decided or the votes say it all.",
                ),
                one_of,
                discriminator: Some(MetaDiscriminatorObject {
                    property_name: "kind",
                    mapping,
                }),
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Explanation {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// The server sends explanations and never receives any.
impl ParseFromJSON for Explanation {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::expected_type(value.unwrap_or_default()))
    }
}
