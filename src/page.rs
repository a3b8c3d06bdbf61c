//! Keyset pagination: a list is read page by page, and a cursor says where the next page begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::Object;
use sea_orm::sea_query::{Condition, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock::Time;
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

/// The query parameters of a list: `limit`, from 1 to [`MAX_LIMIT`], and `cursor`, not yet checked.
/// Handlers take this as an argument.
#[derive(Debug, Clone)]
pub struct Paging {
    pub limit: u32,
    pub cursor: Option<String>,
}

impl Paging {
    /// The page of the list that `scope` names. A cursor of another list is refused.
    pub fn of(&self, scope: &str) -> Result<PageRequest, Failure> {
        let cursor = self.cursor.as_deref();
        let after = cursor.map(|text| Cursor::decode(text, scope)).transpose()?;
        Ok(PageRequest {
            after,
            limit: self.limit,
        })
    }
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// The last item of the page before; none for the first page.
    pub after: Option<Cursor>,
    /// How many items the page has at most.
    pub limit: u32,
}

impl PageRequest {
    /// How many items to read: one more than the page has, since that one tells whether there is
    /// another page.
    pub fn to_read(self) -> u64 {
        u64::from(self.limit) + 1
    }

    /// Reads this page of `select`, newest first: by the column of the creation time, and by id
    /// where two were created at the same time. `cursor` makes the cursor of a row.
    pub async fn newest_first<E: EntityTrait>(
        self,
        connection: &impl ConnectionTrait,
        mut select: Select<E>,
        (created_at, id): (E::Column, E::Column),
        cursor: impl Fn(&E::Model) -> Cursor,
    ) -> Result<Page<E::Model>, DbErr> {
        if let Some(last) = self.after {
            let created = Time(last.key);
            let same_time = created_at.eq(created).and(id.lt(last.id));
            let older = Condition::any().add(created_at.lt(created)).add(same_time);
            select = select.filter(older);
        }
        let select = select.order_by_desc(created_at).order_by_desc(id);
        let rows = select.limit(self.to_read()).all(connection).await?;
        Ok(Page::new(rows, self.limit, cursor))
    }
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The last item, if there are more items after it.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The first `limit` of the items that were read, which are up to
    /// [one more](PageRequest::to_read).
    pub fn new(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(cursor);
        Page { items, next }
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

impl PageMeta {
    /// About a page of the list that `scope` names.
    pub fn new(next: Option<Cursor>, scope: &str) -> PageMeta {
        let next_cursor = next.map(|next| next.encode(scope));
        PageMeta { next_cursor }
    }
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
