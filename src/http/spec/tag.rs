use poem_openapi::Tags;

/// The groups of operations in the document.
#[derive(Tags)]
pub enum Tag {
    /// Sign in, refresh, sign out, and see where you are signed in.
    Auth,
    /// Accounts: your own, and for admins everybody's.
    Users,
    /// What people are asked: when it opens and closes, and who sees the numbers.
    Questions,
    /// What they can choose.
    Choices,
    /// Codes that let people vote who have no account.
    Invitations,
    /// What you chose. One ballot per account and question.
    Ballots,
    /// What the ballots come to.
    Results,
}
