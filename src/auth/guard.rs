//! stub
use crate::users::Caller;
use poem::{FromRequest, Request, RequestBody};
pub struct SignedIn { pub caller: Caller }
pub struct MaybeSignedIn(pub Option<SignedIn>);
impl MaybeSignedIn { pub fn caller(&self) -> Option<Caller> { self.0.as_ref().map(|s| s.caller) } }
impl<'a> FromRequest<'a> for SignedIn { async fn from_request(_: &'a Request, _: &mut RequestBody) -> poem::Result<Self> { todo!() } }
impl<'a> FromRequest<'a> for MaybeSignedIn { async fn from_request(_: &'a Request, _: &mut RequestBody) -> poem::Result<Self> { todo!() } }
