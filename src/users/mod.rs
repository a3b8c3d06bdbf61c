//! Accounts: who people are.

pub mod entity;

use uuid::Uuid;

pub use entity::Role;

/// Who makes a request: an account that has signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub id: Uuid,
    pub role: Role,
}

impl Caller {
    pub fn is_admin(self) -> bool {
        self.role == Role::Admin
    }
}
