//! What the messages about accounts say.

use std::time::Duration;

use crate::language::Language::{self, Chinese, English};
use crate::mail::Letter;

/// A link with which the account at `to` gets another password. `token` is valid for `lifetime`.
pub fn password_reset(
    to: String,
    language: Language,
    site: &str,
    token: &str,
    lifetime: Duration,
) -> Letter {
    let (link, minutes) = (format!("{site}/reset#{token}"), lifetime.as_secs() / 60);
    match language {
        English => Letter::new(to, language, "Choose a new password")
            .text(format!(
                "You asked for a new password for your account at {site}. Choose it here:"
            ))
            .link(link)
            .text(format!(
                "The link works once, for {minutes} minutes, and only if it is the newest one."
            ))
            .text("If you did not ask for it, ignore this message. Your password stays as it is."),
        Chinese => Letter::new(to, language, "重设密码")
            .text(format!(
                "您请求为 {site} 的账号重设密码。请打开以下链接设置新密码："
            ))
            .link(link)
            .text(format!(
                "该链接 {minutes} 分钟内有效，只能使用一次，且仅最新的链接有效。"
            ))
            .text("如果不是您本人操作，请忽略此邮件，您的密码不会改变。"),
    }
}

/// A code that verifies the address `to`, valid for `lifetime`.
pub fn email_verification(
    to: String,
    language: Language,
    site: &str,
    code: &str,
    lifetime: Duration,
) -> Letter {
    let minutes = lifetime.as_secs() / 60;
    match language {
        English => Letter::new(to, language, "Verify your email address")
            .text(format!(
                "To verify that this is the email address of your account at {site}, enter this code there:"
            ))
            .code(code)
            .text(format!(
                "The code works once, for {minutes} minutes, and only if it is the newest one."
            ))
            .text("If you did not ask for it, ignore this message."),
        Chinese => Letter::new(to, language, "验证您的邮箱地址")
            .text(format!(
                "请在 {site} 输入以下验证码，以确认这是您账号的邮箱地址："
            ))
            .code(code)
            .text(format!(
                "验证码 {minutes} 分钟内有效，只能使用一次，且仅最新的验证码有效。"
            ))
            .text("如果不是您本人操作，请忽略此邮件。"),
    }
}

/// Tells the owner of an account that it has another password.
pub fn password_changed(to: String, language: Language, site: &str) -> Letter {
    match language {
        English => Letter::new(to, language, "Your password was changed")
            .text(format!(
                "The password of your account at {site} was changed."
            ))
            .text("If you did not change it, choose another one now, and tell the operator:")
            .link(format!("{site}/reset")),
        Chinese => Letter::new(to, language, "您的密码已更改")
            .text(format!("您在 {site} 的账号密码已更改。"))
            .text("如果不是您本人操作，请立即重设密码，并联系管理员：")
            .link(format!("{site}/reset")),
    }
}

/// Tells the address that an account had before.
pub fn address_changed(to: String, language: Language, site: &str) -> Letter {
    match language {
        English => Letter::new(to, language, "Your email address was changed")
            .text(format!(
                "The account at {site} that had this email address has another one now."
            ))
            .text(format!(
                "If you did not change it, somebody else knows your password. Tell the operator of {site}."
            )),
        Chinese => Letter::new(to, language, "您的邮箱地址已更改")
            .text(format!(
                "{site} 上使用此邮箱地址的账号已更换为其他邮箱地址。"
            ))
            .text(format!(
                "如果不是您本人操作，说明他人知道您的密码。请联系 {site} 的管理员。"
            )),
    }
}
