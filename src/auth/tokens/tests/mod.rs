mod claims;
mod clocks;
mod keys;
mod minting;
mod sessions;

use std::time::Duration;

use uuid::Uuid;

use crate::auth::OpenError;
use crate::auth::tests::*;
use crate::auth::tokens::{SignedIn, Validity};
use crate::clock::Clock;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::precondition::IfMatch;
use crate::users::entity::Model as Account;
use crate::users::{Role, Standing, UserPatch};
