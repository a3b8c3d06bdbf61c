// The choices of a question, with the controls to vote. What is selected but not sent yet is kept in
// the tab: while the question changes, through signing in, and when the page is loaded again.

import { api } from "./api.js";
import { buttons, fill, h, newId, toast } from "./dom.js";
import { loginPath, withReturn } from "./entry.js";
import { action, form, say } from "./form.js";
import { bars } from "./results.js";
import { isSignedIn } from "./session.js";
import { tab } from "./store.js";
import { exact, t } from "./texts.js";
import { moment } from "./times.js";

/** Tells the other tabs on which question somebody has voted. */
const channel = new BroadcastChannel("polls.ballots");

/** Calls `work` when a vote on the question is cast or withdrawn in another tab. */
export function onVoteElsewhere(id, signal, work) {
  channel.addEventListener("message", ({ data }) => data === id && work(), { signal });
}

/** The user's ballot on a question, or null. */
export async function ownBallot(id, signal) {
  if (!isSignedIn()) return null;
  try {
    const { data } = await api("GET", `/users/me/ballots?question_id=${id}`, { signal });
    return data[0] ?? null;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

const keyOf = (id) => `polls.chosen.${id}`;

/** The ids that are selected but not sent, or undefined. */
const selection = (id) => tab.read(keyOf(id))?.split(" ").filter(Boolean);

function select(id, ids) {
  tab.write(keyOf(id), ids ? ids.join(" ") : null);
}

/**
 * The choices with their bars, and with controls if one may vote. `reread` is called with the new
 * ballot, `show` with results. Returns the content, and a function that shows results in the bars.
 */
export function voting({ question, ballot, hint, offers, go, reread, show }) {
  const { id, choices } = question;
  const takes = question.status === "open" && !question.deleted_at;
  const may = takes && (!ballot || question.allow_change);
  const several = question.max_choices > 1;
  const before = selection(id) ?? ballot?.choice_ids ?? [];
  const chosen = before.filter((one) => choices.some((choice) => choice.id === one));
  const isGone = may && chosen.length < before.length;
  if (isGone) select(id, chosen);
  const list = bars(choices, may ? (choice) => h("input", {
    type: several ? "checkbox" : "radio", name: "choice", value: choice.id, checked: chosen.includes(choice.id),
  }) : undefined);
  if (ballot) {
    choices.forEach((choice, index) => {
      if (!ballot.choice_ids.includes(choice.id)) return;
      const row = list.list.children[index].firstChild;
      row.classList.add("yours");
      row.querySelector(".text").append(h("span", { class: "unseen" }, `, ${t("yours")}`));
    });
  }
  const notes = [
    isGone && h("p", { class: "note", role: "alert" }, t("choiceGone")),
    ballot && h("p", { class: "voted" }, moment(question.allow_change ? "voted" : "votedFinal", ballot.updated_at)),
    hint && h("p", { class: "hint" }, hint),
    question.status === "scheduled" && h("p", { class: "hint" }, t("notOpenYet", { when: exact(question.opens_at) })),
    question.deleted_at && h("p", { class: "hint" }, t("isDeleted")),
  ];
  if (!may) return { content: [list.sorter, list.list, notes], show: list.show };

  const label = t(!isSignedIn() ? "signInToVote" : ballot ? "change" : "vote");
  const rule = h("p", { class: "hint", id: newId() }, ruleOf(question));
  const mistake = h("p", { class: "mistake", role: "alert", id: newId() });
  const progress = h("p", { class: "progress", role: "status" });
  const submit = h("button", { class: "primary", "aria-describedby": mistake.id }, label);
  const selected = () => [...content.querySelectorAll("[name=choice]:checked")].map(({ value }) => value);

  /** Says how many choices are selected, and that they are not counted yet. */
  function tell() {
    const ids = selected();
    const isSent = ballot && sameSet(ids, ballot.choice_ids);
    fill(progress,
      several && h("span", {}, t("chosenOf", { n: ids.length, max: question.max_choices })),
      ids.length > 0 && !isSent
        && h("strong", {}, t(isSignedIn() ? "notCounted" : "notCountedSignIn", { button: label })));
  }

  /** Says what is wrong with the selection, beside the button. */
  function blame(text) {
    fill(mistake, text);
    submit.focus();
  }

  async function send(ids) {
    try {
      const cast = await api("PUT", `/questions/${id}/ballot`, { body: { choice_ids: ids } });
      toast(t(!ballot ? "counted" : cast.updated_at === ballot.updated_at ? "unchanged" : "changed"));
      select(id, null);
      channel.postMessage(id);
      if (cast.results) show(cast.results);
      await reread(cast);
    } catch (error) {
      // The page is out of date.
      if (error.code === "invalid_fields") toast(t("questionChanged"));
      else if (["voting_closed", "voting_not_open", "already_voted"].includes(error.code)) toast(say(error));
      else throw error;
      await reread(await ownBallot(id));
    }
  }

  const withdraw = ballot && action(t("withdraw"), async () => {
    await api("DELETE", `/questions/${id}/ballot`);
    toast(t("withdrawn"));
    select(id, null);
    channel.postMessage(id);
    await reread(null);
  });
  const content = form({ class: "plain voting" },
    async () => {
      const ids = selected();
      fill(mistake);
      if (!isSignedIn()) return go(loginPath());
      if (ids.length < question.min_choices || ids.length > question.max_choices) return blame(ruleOf(question));
      return send(ids);
    },
    h("fieldset", { "aria-describedby": rule.id },
      h("legend", { class: "unseen" }, question.question_text), rule, list.sorter, list.list),
    notes,
    h("div", { class: "foot" }, mistake, progress,
      buttons(
        submit,
        !isSignedIn() && offers.includes("registration") && h("a", { href: withReturn("/register"), class: "button" }, t("signUp")),
        withdraw)));
  content.addEventListener("change", () => {
    fill(mistake);
    select(id, selected());
    tell();
  });
  tell();
  return { content, show: list.show };
}

function ruleOf({ min_choices: min, max_choices: max }) {
  if (min === max) return t("chooseExactly", { n: max });
  return min <= 1 ? t("chooseUpTo", { max }) : t("chooseBetween", { min, max });
}

const sameSet = (some, others) => some.length === others.length && some.every((one) => others.includes(one));
