//! stub
use poem_openapi::Tags;
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
