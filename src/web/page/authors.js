// Who has voted on a question, and its ballots as files.

import { address, api, download } from "./api.js";
import { buttons, fill, h } from "./dom.js";
import { action, closer, dialog, failure, say } from "./form.js";
import { kindOf } from "./paper.js";
import { isolated, t, together } from "./texts.js";

/** Shows who has voted, and what where ballots are public. */
export function whoVoted(question) {
  const isPublic = question.ballot_secrecy === "public";
  const name = (voter) => h("strong", { dir: "auto" }, voter.name || t(voter.guest ? "guest" : "somebody"));
  const rows = isPublic
    ? pages(`/questions/${question.id}/ballots`, (ballot) =>
      h("li", {}, h("div", {}, name(ballot.voter), h("p", { class: "meta" }, inWords(ballot, question.choices)))))
    : pages(`/questions/${question.id}/voters`, (voter) => h("li", {}, name(voter)));
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

/** A list that is loaded page by page; `row` makes its items. */
function pages(path, row) {
  const list = h("ul", { class: "rows" });
  const more = h("div", {});
  async function load(cursor) {
    const { data, meta } = await api("GET", address(path, { limit: "100", cursor }));
    list.append(...data.map(row));
    fill(more,
      meta.next_cursor && buttons(action(t("more"), () => load(meta.next_cursor))),
      !list.children.length && h("p", { class: "empty" }, t("nobodyVoted")));
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
