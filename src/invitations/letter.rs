//! What an invitation by mail says.

use crate::clock::Time;
use crate::language::Language::{self, Chinese, English};
use crate::mail::Letter;
use crate::questions::Question;

/// An invitation that is about to be sent.
pub struct Invitation<'a> {
    pub to: String,
    pub language: Language,
    pub site: &'a str,
    /// The name of the account that invites.
    pub sender: &'a str,
    pub question: &'a Question,
    pub code: &'a str,
    /// Refuses all further invitations to this address.
    pub refusal_token: &'a str,
    pub now: Time,
}

/// A link to vote, and one to refuse all further invitations.
pub fn invitation(invitation: Invitation<'_>) -> Letter {
    let Invitation {
        to,
        language,
        site,
        sender,
        question,
        code,
        refusal_token,
        now,
    } = invitation;
    let text = &question.question_text;
    let vote = format!("{site}/i#{code}");
    let refuse = format!("{site}/refuse#{refusal_token}");
    let opens_at = question.opens_at.filter(|opens_at| *opens_at > now);
    let (opens_at, closes_at) = (opens_at.map(utc), question.closes_at.map(utc));
    let with = |letter: Letter, line: Option<String>| match line {
        Some(line) => letter.text(line),
        None => letter,
    };
    match language {
        English => {
            let letter = Letter::new(to, language, format!("Invitation to vote: {text}"))
                .text(format!("{sender} invites you to vote at {site}:"))
                .text(format!("“{text}”"));
            let letter = with(
                letter,
                opens_at.map(|time| format!("Voting opens on {time}.")),
            );
            let letter = with(
                letter,
                closes_at.map(|time| format!("Voting closes on {time}.")),
            );
            letter
                .text(
                    "Open this link to vote. Keep it to yourself: whoever has it can vote in your place.",
                )
                .link(vote)
                .text(format!(
                    "The name is that of an account at {site}; nobody has checked whose account it \
                     is. If you do not expect an invitation, ignore this message."
                ))
                .text(format!(
                    "If you want no more invitations from {site}, whoever sends them, open this link:"
                ))
                .link(refuse)
        }
        Chinese => {
            let letter = Letter::new(to, language, format!("投票邀请：{text}"))
                .text(format!("{sender} 邀请您在 {site} 投票："))
                .text(format!("“{text}”"));
            let letter = with(
                letter,
                opens_at.map(|time| format!("投票将于 {time} 开始。")),
            );
            let letter = with(
                letter,
                closes_at.map(|time| format!("投票将于 {time} 截止。")),
            );
            letter
                .text("请打开以下链接投票。请勿转发：任何人持有此链接都可以代您投票。")
                .link(vote)
                .text(format!(
                    "以上名称是 {site} 上的账号名称，我们未核实其身份。如果您不认识发送者，请忽略此邮件。"
                ))
                .text(format!(
                    "如果不想再收到 {site} 发出的任何投票邀请，请打开以下链接："
                ))
                .link(refuse)
        }
    }
}

/// A time for people, to the minute: `2026-12-01 09:30 (UTC)`.
fn utc(time: Time) -> String {
    let text = time.to_string().replace('T', " ");
    format!("{} (UTC)", text.get(..16).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_readable() {
        let time: Time = "2026-12-01T09:30:12.5+01:00".parse().unwrap();
        assert_eq!(utc(time), "2026-12-01 08:30 (UTC)");
    }
}
