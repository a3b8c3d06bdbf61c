// What authors do with a question beside changing it: invite, see who has voted, take the ballots along
// as files.

import { address, api, download } from "./api.js";
import { buttons, fill, h } from "./dom.js";
import { action, closer, dialog, failure, field, form, input, say } from "./form.js";
import { kindOf } from "./paper.js";
import { wholeNumber } from "./rules.js";
import { copier } from "./share.js";
import { isolated, t, together } from "./texts.js";

/** The most invitations of one call. */
const MOST = 1000;

/** The invitations to a question: makes some, lists them, takes them back. */
export function invite(question, offers) {
  const path = `/questions/${question.id}/invitations`;
  const made = h("div", { role: "status" });
  const listed = h("div", {});
  const list = () => fill(listed, pages(path, row, "noInvitations"));
  const row = (invitation) => h("li", {},
    h("strong", { dir: "auto" }, invitation.label ?? invitation.email ?? t("invitation")),
    action(t("takeBack"), async () => {
      await api("DELETE", `${path}/${invitation.id}`);
      list();
    }));
  const links = (codes) => {
    const lines = codes.map(({ label, code }) => `${label ? `${label}: ` : ""}${location.origin}/i#${code}`);
    const box = h("textarea", { readonly: true, rows: "6", dir: "ltr", "aria-label": t("invitationLinks") }, lines.join("\n"));
    return [h("p", { class: "note" }, t("linksOnce")), box, buttons(copier(box, { class: "primary" }))];
  };
  const post = async (body) => {
    const { data } = await api("POST", path, { body });
    const codes = data.filter(({ code }) => code);
    fill(made, codes.length ? links(codes) : h("p", { class: "note" }, t("invitationsSent")));
    list();
  };
  const byLink = form({ class: "plain" },
    (values) => post({ count: wholeNumber(values.get("count"), 0) }),
    field(t("howManyLinks"), input("count", {
      type: "number", min: "1", max: String(MOST), value: "10", inputmode: "numeric",
    }), { pointer: "/count" }),
    buttons(h("button", {}, t("makeLinks"))));
  const byMail = offers.includes("mail") && form({ class: "plain" },
    (values) => post({ invitations: [{ email: values.get("email") }] }),
    field(t("email"), input("email", { type: "email", required: true }), { pointer: "/invitations/0/email" }),
    buttons(h("button", {}, t("sendInvitation"))));
  list();
  return dialog(t("invitations"), (leave) => [
    h("p", { class: "hint" }, t("invitationHint")), byLink, byMail, made, listed, buttons(closer(t("close"), leave)),
  ]);
}

/** Shows who has voted, and what where ballots are public. */
export function whoVoted(question) {
  const isPublic = question.ballot_secrecy === "public";
  const name = (voter) => h("strong", { dir: "auto" }, voter.name || t(voter.guest ? "guest" : "somebody"));
  const rows = isPublic
    ? pages(`/questions/${question.id}/ballots`, (ballot) =>
      h("li", {}, h("div", {}, name(ballot.voter), h("p", { class: "meta" }, inWords(ballot, question.choices)))), "nobodyVoted")
    : pages(`/questions/${question.id}/voters`, (voter) => h("li", {}, name(voter)), "nobodyVoted");
  return dialog(t(isPublic ? "whoVotedHow" : "whoVoted"), (leave) => [rows, buttons(closer(t("close"), leave))]);
}

/** Offers the ballots in the formats that can have them. */
export function save({ id, method }) {
  const formats = kindOf(method) === "scores" ? ["csv", "json"] : ["csv", "blt", "json"];
  return dialog(t("saveVotes"), (leave) => [
    h("p", { class: "hint" }, t("saveVotesHint")),
    buttons(
      formats.map((format) => action(format.toUpperCase(), () =>
        download(address(`/questions/${id}/export`, { format })))),
      closer(t("close"), leave)),
  ]);
}

/** A list that is loaded page by page; `row` makes its items, and `empty` names what is said of none. */
function pages(path, row, empty) {
  const list = h("ul", { class: "rows" });
  const more = h("div", {});
  async function load(cursor) {
    const { data, meta } = await api("GET", address(path, { limit: "100", cursor }));
    list.append(...data.map(row));
    fill(more,
      meta.next_cursor && buttons(action(t("more"), () => load(meta.next_cursor))),
      !list.children.length && h("p", { class: "empty" }, t(empty)));
  }
  const start = () => load().catch((error) =>
    // Trying again does not help where the question does not tell.
    fill(more, error.status === 409 ? h("p", { class: "empty" }, say(error)) : failure(error, start)));
  start();
  return [list, more];
}

/** A ballot in words: the choices that it names, in their order. */
function inWords({ choice_ids: ids, scores }, choices) {
  const textOf = (id) => isolated(choices.find((choice) => choice.id === id)?.choice_text ?? "");
  const parts = scores ? scores.map(({ choice_id: id, score }) => `${textOf(id)} ${score}`) : ids.map(textOf);
  return parts.length ? together(parts) : t("choseNothing");
}
