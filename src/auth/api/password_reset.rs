//! Choosing a new password without the old one.

use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use validator::Validate;

use crate::auth::Accounts;
use crate::http::body::Body;
use crate::http::policy::operations;
use crate::http::refused::Refused;
use crate::http::reply::{Accepted, Done};
use crate::http::spec::Tag;
use crate::input::Line;
use crate::language::Language;
use crate::network::Network;
use crate::users::email::Email;
use crate::users::password::NewPassword;

/// The handlers of password resets.
pub struct PasswordResetApi {
    pub accounts: Accounts,
}

operations! {
    RequestPasswordReset: MailNotConfigured, InvalidFields, RateLimited;
    ResetPassword: MailNotConfigured, InvalidFields, RateLimited;
}

#[OpenApi]
impl PasswordResetApi {
    /// Reset a forgotten password: send a link
    ///
    /// Sends a link to the email address if an account has it; the answer is the same if none has.
    /// The link is valid for 30 minutes, once, and only while it is the newest. It becomes void when
    /// the account's password or address changes. How many messages one network address causes and
    /// one recipient gets is limited.
    ///
    /// Sent twice: two messages, of which the link of the newer one works.
    #[oai(
        path = "/auth/password-reset",
        method = "post",
        operation_id = "requestPasswordReset",
        tag = Tag::Auth
    )]
    async fn request_password_reset(
        &self,
        network: Network,
        language: Language,
        body: Body<PasswordResetRequest>,
    ) -> Result<Accepted, Refused<RequestPasswordReset>> {
        let email = body.0.email;
        let requested = self
            .accounts
            .request_password_reset(email.as_str(), language, network);
        requested.await?;
        Ok(Accepted)
    }

    /// Reset a forgotten password
    ///
    /// Takes the token after `#` in the link that was sent, sets the new password, and ends all
    /// sessions of the account. Its email address is verified then, and told by mail. How often one
    /// network address may try is limited.
    #[oai(
        path = "/auth/password-reset",
        method = "put",
        operation_id = "resetPassword",
        tag = Tag::Auth
    )]
    async fn reset_password(
        &self,
        network: Network,
        language: Language,
        body: Body<PasswordReset>,
    ) -> Result<Done, Refused<ResetPassword>> {
        let PasswordReset {
            token,
            new_password,
        } = body.0;
        let reset =
            self.accounts
                .reset_password_by_mail(&token, new_password.expose(), language, network);
        reset.await?;
        Ok(Done)
    }
}

/// Whose password was forgotten.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct PasswordResetRequest {
    /// The email address of the account.
    #[validate(nested)]
    email: Email,
}

impl Example for PasswordResetRequest {
    fn example() -> Self {
        PasswordResetRequest {
            email: Email::new("luxi@qq.com"),
        }
    }
}

/// A new password, and proof that whoever sends it reads the account's email address.
#[derive(Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
struct PasswordReset {
    /// The token of the link in the newest message.
    #[validate(nested)]
    token: Line<1, 100>,
    /// The password that the account is to have, as when registering.
    #[validate(nested)]
    new_password: NewPassword,
}

impl Example for PasswordReset {
    fn example() -> Self {
        PasswordReset {
            token: Line::new("8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT"),
            new_password: NewPassword::new("a better horse and a bigger battery".into()),
        }
    }
}
