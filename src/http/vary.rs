//! Which request headers an answer depends on.

use http::header::VARY;
use http::{HeaderMap, HeaderValue};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Vary {
    pub(super) authorization: bool,
    pub(super) origin: bool,
    pub(super) encoding: bool,
}

impl Vary {
    /// Adds to what the handler has said.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let names = match (self.authorization, self.origin, self.encoding) {
            (false, false, false) => return,
            (true, false, false) => "Authorization",
            (false, true, false) => "Origin",
            (false, false, true) => "Accept-Encoding",
            (true, true, false) => "Authorization, Origin",
            (true, false, true) => "Authorization, Accept-Encoding",
            (false, true, true) => "Origin, Accept-Encoding",
            (true, true, true) => "Authorization, Origin, Accept-Encoding",
        };
        headers.append(VARY, HeaderValue::from_static(names));
    }
}
