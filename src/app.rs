//! stub
use poem_openapi::Tags;

use crate::ballots::api::BallotsApi;
use crate::questions::api::{ChoicesApi, QuestionsApi};
use crate::tallies::api::ResultsApi;

/// The parts of the API.
pub type Apis = (QuestionsApi, ChoicesApi, BallotsApi, ResultsApi);

pub const PREFIX: &str = crate::http::API;

/// The groups of operations in the spec.
#[derive(Tags)]
pub enum Tag {
    /// Signing in and out.
    Auth,
    /// Who people are.
    Users,
    /// What people are asked.
    Questions,
    /// What they can choose.
    Choices,
    /// What they chose.
    Ballots,
    /// What it comes to.
    Results,
}
