// The receipts of anonymous ballots: drawn here, kept in the browser, found among all others after
// the close.

import { address, api } from "./api.js";
import { fill, h } from "./dom.js";
import { action } from "./form.js";
import { viewerOf } from "./session.js";
import { read, write } from "./store.js";
import { isolated, t, together } from "./texts.js";

const keyOf = (question) => `polls.receipt.${question}`;

/** The receipt for the ballot on a question: the one that was drawn before, or a new one. */
export const receiptFor = (question) => read(keyOf(question)) ?? draw(question);

/** Draws a receipt, 128 random bits, and keeps it before it is sent: the answer may get lost. */
export function draw(question) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const receipt = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  write(keyOf(question), receipt);
  return receipt;
}

/** The receipt of the ballot that was cast here and, after the close, what that ballot says. */
export function receiptOf(question) {
  const receipt = read(keyOf(question.id));
  if (!receipt) return null;
  const told = h("p", { role: "status" });
  return h("details", {},
    h("summary", {}, t("receipt")),
    h("p", {}, h("code", { dir: "ltr" }, receipt)),
    h("p", { class: "hint" }, t("receiptHint")),
    question.status === "closed" && [
      action(t("findBallot"), async () => void fill(told, await found(question, receipt))),
      told,
    ]);
}

/** What the ballot with this receipt says, in words. */
async function found({ id, choices }, receipt) {
  let cursor;
  do {
    const path = address(`/questions/${id}/receipts`, { limit: "100", cursor });
    const { data, meta } = await api("GET", path, { as: viewerOf(id) });
    const ballot = data.find((one) => one.receipt === receipt);
    if (ballot) return t("ballotFound", { ballot: inWords(ballot, choices) });
    cursor = meta.next_cursor;
  } while (cursor);
  return t("ballotMissing");
}

/** A ballot in words: the choices that it names, in their order. */
export function inWords({ choice_ids: ids, scores }, choices) {
  const textOf = (id) => isolated(choices.find((choice) => choice.id === id)?.choice_text ?? "");
  const parts = scores
    ? scores.map(({ choice_id: id, score }) => `${textOf(id)} ${score}`)
    : ids.map(textOf);
  return parts.length ? together(parts) : t("nothingChosen");
}
