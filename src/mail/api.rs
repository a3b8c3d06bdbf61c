//! The messages as admins see them. What they say is stored nowhere.

use poem_openapi::param::Query;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use uuid::Uuid;

use super::entity::Model;
use super::{Kind, Mail, Status};
use crate::auth::guard::Admin;
use crate::clock::Time;
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::Answered;
use crate::http::spec::Tag;
use crate::page::{PageMeta, Paging};
use crate::rendered::Rendered;

/// The handlers of messages.
pub struct MailApi {
    pub mail: Mail,
}

operations! {
    ListMail: MalformedRequest, Forbidden;
}

#[OpenApi]
impl MailApi {
    /// List messages
    ///
    /// Admins only: the messages of the last 30 days, newest first, those that the mail server has
    /// refused among them. Their contents are not stored.
    #[oai(path = "/mail", method = "get", operation_id = "listMail", tag = Tag::Users)]
    async fn list_mail(
        &self,
        _admin: Admin,
        /// Only messages with this status.
        status: Query<Option<Status>>,
        page: Paging,
    ) -> Result<Answered<MessagePage>, Refused<ListMail>> {
        let scope = format!("mail {:?}", status.0);
        let messages = self.mail.list(status.0, page.of(&scope)?).await?;
        let page = MessagePage {
            data: messages.items.into_iter().map(Message::of).collect(),
            meta: PageMeta::new(messages.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }
}

/// A page of messages.
#[derive(Object, Serialize)]
#[oai(example)]
struct MessagePage {
    /// The messages of this page, newest first.
    data: Vec<Message>,
    meta: PageMeta,
}

impl Example for MessagePage {
    fn example() -> Self {
        MessagePage {
            data: vec![Message::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

/// A message that the server sends or has sent.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct Message {
    /// The message's id, which its `Message-ID` has, too.
    id: Uuid,
    kind: Kind,
    /// The email address that it is for.
    recipient: String,
    status: Status,
    /// How often it was tried to send it.
    attempts: i32,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was queued.
    created_at: Time,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Time>,
}

impl Message {
    fn of(message: Model) -> Message {
        Message {
            id: message.id,
            kind: message.kind,
            recipient: message.recipient,
            status: message.status,
            attempts: message.attempts,
            error: message.error,
            created_at: message.created_at,
            due_at: message.due_at,
        }
    }
}

impl Example for Message {
    fn example() -> Self {
        Message {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            kind: Kind::EmailVerification,
            recipient: "luxi@qq.com".into(),
            status: Status::Dead,
            attempts: 1,
            error: Some("permanent error (550): no such mailbox".into()),
            created_at: Time(1_776_282_436_000_000),
            due_at: None,
        }
    }
}
