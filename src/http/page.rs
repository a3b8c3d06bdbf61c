//! Cursors: where the next page of a list begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::Object;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::failure::{Code, Failure};

/// How many items a page has where the request does not say.
pub const DEFAULT_LIMIT: u32 = 20;
/// The most items a page may have.
pub const MAX_LIMIT: u32 = 100;

const CHECKSUM: usize = 8;

/// The last item of the page before: its sort key and, among equals, its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub key: i64,
    pub id: Uuid,
}

impl Cursor {
    /// The opaque form. `scope` names the list with its filters, so that a cursor of another list
    /// is refused.
    pub fn encode(&self, scope: &str) -> String {
        let mut bytes = self.bytes().to_vec();
        bytes.extend(self.checksum(scope));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the opaque form, and refuses what was not made for this list.
    pub fn decode(text: &str, scope: &str) -> Result<Cursor, Failure> {
        let forged = || {
            Failure::new(
                Code::MalformedRequest,
                "The cursor is not one of this list. Use meta.next_cursor of the page before, with the same parameters.",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| forged())?;
        let (key, rest) = bytes.split_first_chunk().ok_or_else(forged)?;
        let (id, checksum) = rest.split_first_chunk().ok_or_else(forged)?;
        let cursor = Cursor {
            key: i64::from_be_bytes(*key),
            id: Uuid::from_bytes(*id),
        };
        if checksum != cursor.checksum(scope) {
            return Err(forged());
        }
        Ok(cursor)
    }

    fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.key.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        bytes
    }

    fn checksum(&self, scope: &str) -> [u8; CHECKSUM] {
        let hash = Sha256::new()
            .chain_update(self.bytes())
            .chain_update(scope)
            .finalize();
        std::array::from_fn(|index| hash[index])
    }
}

/// About a page of a list.
#[derive(Debug, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct PageMeta {
    /// Where the next page begins: send it as `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = Cursor {
            key: -5,
            id: Uuid::from_u128(7),
        };
        let text = cursor.encode("questions?sort=created_at");
        assert_eq!(
            Cursor::decode(&text, "questions?sort=created_at").unwrap(),
            cursor
        );
        assert!(Cursor::decode(&text, "questions").is_err());
        let mut forged = text.into_bytes();
        forged[3] ^= 1;
        let forged = String::from_utf8(forged).unwrap();
        assert!(Cursor::decode(&forged, "questions?sort=created_at").is_err());
        assert!(Cursor::decode("", "questions").is_err());
    }
}
