// What authors do with a question beside changing it: invite, see who has voted, take the ballots along.

import { address, api, download } from "./api.js";
import { buttons, fill, h } from "./dom.js";
import { action, closer, dialog, failure, field, form, input } from "./form.js";
import { inWords } from "./receipts.js";
import { copier } from "./share.js";
import { kindOf } from "./paper.js";
import { date, t } from "./texts.js";

/** The most invitations of one call. */
const MOST = 1000;

/** A list that is loaded page by page. `row` makes its items. */
function pages(path, row, nothing) {
  const list = h("ul", { class: "rows" });
  const more = buttons();
  async function load(cursor) {
    const { data, meta } = await api("GET", address(path, { limit: "100", cursor }));
    list.append(...data.map(row));
    fill(more, meta.next_cursor ? action(t("more"), () => load(meta.next_cursor))
      : !list.children.length && h("p", { class: "empty" }, nothing));
  }
  const content = h("div", {}, list, more);
  const start = () => load().catch((error) => fill(more, failure(error, start)));
  start();
  return content;
}

/** The invitations to a question: makes some, lists them, takes them back. */
export function invite(question) {
  const path = `/questions/${question.id}/invitations`;
  const made = h("div", { role: "status" });
  const listed = h("div", {});
  const list = () => fill(listed, pages(path, row, t("noInvitations")));
  const row = (invitation) => h("li", {},
    h("div", {},
      h("strong", { dir: "auto" }, invitation.label ?? invitation.email ?? t("invitation")),
      h("p", { class: "meta" },
        h("span", {}, date(invitation.created_at)),
        invitation.used !== undefined && h("span", {}, t(invitation.used ? "used" : "unused")))),
    !invitation.used && action(t("takeBack"), async () => {
      await api("DELETE", `${path}/${invitation.id}`);
      list();
    }));
  const links = (data) => {
    const box = h("textarea", { readonly: true, rows: "6", dir: "ltr", "aria-label": t("invitationLinks") },
      data.map(({ label, code }) => `${label ? `${label}: ` : ""}${location.origin}/i#${code}`).join("\n"));
    return [h("p", { class: "note" }, t("linksOnce")), box, buttons(copier(box, { class: "primary" }))];
  };
  const post = async (body) => {
    const { data } = await api("POST", path, { body });
    const codes = data.filter(({ code }) => code);
    fill(made, codes.length ? links(codes) : h("p", { class: "note" }, t("invitationsSent")));
    list();
  };
  const count = form({ class: "plain" },
    (values) => post({ count: Number(values.get("count")) || 0 }),
    field(t("howManyLinks"), input("count", { type: "number", min: "1", max: String(MOST), value: "10", inputmode: "numeric" }), { pointer: "/count" }),
    buttons(h("button", {}, t("makeLinks"))));
  list();
  return dialog(t("invitations"), (leave) => [
    h("p", { class: "hint" }, t("invitationHint")), count, made, listed, buttons(closer(t("close"), leave)),
  ]);
}

/** Who has voted, and how where the ballots are public. */
export function whoVoted(question) {
  const isPublic = question.ballot_secrecy === "public";
  const name = (voter) => h("strong", { dir: "auto" }, voter.name ?? t(voter.guest ? "guest" : "somebody"));
  const content = isPublic
    ? pages(`/questions/${question.id}/ballots`, (ballot) => h("li", {},
      h("div", {}, name(ballot.voter), h("p", { class: "meta" }, inWords(ballot, question.choices)))), t("nobodyVoted"))
    : pages(`/questions/${question.id}/voters`, (voter) => h("li", {}, name(voter)), t("nobodyVoted"));
  return dialog(t("whoVoted"), (leave) => [content, buttons(closer(t("close"), leave))]);
}

/** The ballots as a file. */
export function save(question) {
  const formats = kindOf(question.method) === "ranking" ? ["csv", "blt", "json"] : ["csv", "json"];
  return dialog(t("export"), (leave) => [
    h("p", { class: "hint" }, t("exportHint")),
    buttons(
      formats.map((format) => action(format.toUpperCase(), () =>
        download(`/questions/${question.id}/export?format=${format}`, `polls.${format}`))),
      closer(t("close"), leave)),
  ]);
}
