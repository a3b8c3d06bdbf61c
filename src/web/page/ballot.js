// The choices of a question, with the controls to vote. What is selected but not sent yet is kept in
// the tab: while the question changes, through signing in, and when the page is loaded again.

import { api, part } from "./api.js";
import { buttons, fill, h, newId, toast } from "./dom.js";
import { action, form, say } from "./form.js";
import { agree, kindOf, named, paperOf, within } from "./paper.js";
import { bars } from "./results.js";
import { enterAsGuest, invitationTo, isGuest, isSignedIn, loginPath, viewerOf, withReturn } from "./session.js";
import { tab } from "./store.js";
import { exact, explain, t } from "./texts.js";
import { moment } from "./times.js";

/** Tells the other tabs on which question somebody has voted. */
const channel = new BroadcastChannel("polls.ballots");

/** Calls `work` when a vote on the question is cast or withdrawn in another tab. */
export function onVoteElsewhere(id, signal, work) {
  channel.addEventListener("message", ({ data }) => data === id && work(), { signal });
}

/** The voter's ballot on a question, or null. */
export async function ownBallot(id, signal) {
  const as = viewerOf(id);
  if (!as.stored) return null;
  try {
    const { data } = await api("GET", `/users/me/ballots?question_id=${id}`, { signal, as });
    return data[0] ?? null;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

/** Whether one may vote, where that depends on more than being signed in. */
export async function eligibility({ id, status, electorate, ballots_per_address: limit }, signal) {
  const as = viewerOf(id);
  const isKnown = electorate === "accounts" || (electorate === "anyone" && !limit) || (electorate === "verified" && !isSignedIn());
  if (isKnown || status !== "open" || !as.stored) return { can_vote: true };
  return api("GET", `/questions/${id}/eligibility`, { signal, as });
}

/** Whether somebody has to sign in to vote, or to be invited. */
const needsAccount = ({ electorate }) => ["accounts", "verified"].includes(electorate) && !isSignedIn();
const needsInvitation = ({ id, electorate }) => electorate === "invited" && !invitationTo(id);

/** The modules of the controls, by what ballots are. The list with the bars is the one for sets. */
const CONTROLS = { ranking: () => import("./ranking.js"), scores: () => import("./scoring.js") };

/** Loads what the ballots of a question need: a control by their method, and receipts. */
export async function partsOf({ method, ballot_secrecy: secrecy }) {
  const load = CONTROLS[kindOf(method)];
  const [control, receipts] = await Promise.all([
    load && part(load),
    secrecy === "anonymous" && part(() => import("./receipts.js")),
  ]);
  return { control, receipts };
}

const keyOf = (id) => `polls.chosen.${id}`;

/** What is selected but not sent, as a ballot has it. */
const selection = (id) => JSON.parse(tab.read(keyOf(id)) ?? "null");

function select(id, paper) {
  tab.write(keyOf(id), paper ? JSON.stringify(paper) : null);
}

/**
 * The choices with their bars, and with controls if one may vote: `parts` is what `partsOf` has loaded,
 * `eligible` what `eligibility` has said. `reread` is called with the new ballot, `show` with results.
 * Returns the content, and a function that shows results in the bars.
 */
export function voting({ question, parts: { control, receipts }, eligible, ballot, hint, offers, go, reread, show }) {
  const { id, choices } = question;
  const takes = question.status === "open" && !question.deleted_at;
  const isAnonymous = question.ballot_secrecy === "anonymous";
  // What an anonymous ballot says is not known any more.
  const cast = isAnonymous ? null : ballot;
  const may = takes && (ballot ? question.allow_change : eligible.can_vote && !needsInvitation(question));
  const kind = kindOf(question.method);
  const before = ownSelection(id, kind) ?? (cast && paperOf(cast)) ?? blank(kind);
  const chosen = within(before, choices);
  const isGone = may && named(chosen).length < named(before).length;
  if (isGone) select(id, chosen);
  const isOneList = kind === "set";
  const list = bars(choices, { before: may && isOneList && ((choice) => h("input", {
    type: question.max_choices > 1 ? "checkbox" : "radio", name: "choice", value: choice.id,
    checked: chosen.choice_ids.includes(choice.id),
  })) });
  if (cast) markOwn(list, choices, kind, cast);
  const notes = [
    isGone && h("p", { class: "note", role: "alert" }, t("choiceGone")),
    cast && h("p", { class: "voted" }, moment(question.allow_change ? "voted" : "votedFinal", cast.updated_at)),
    ballot && isAnonymous && [h("p", { class: "voted" }, t("votedAnonymously")), receipts.receiptOf(question)],
    ballot && isGuest() && !invitationTo(id) && offers.includes("registration")
      && h("p", { class: "hint" }, t("votedAsGuest"), " ", h("a", { href: withReturn("/register") }, t("signUp"))),
    takes && !ballot && h("p", { class: "hint" }, electorateOf(question, eligible)),
    takes && !ballot && question.ballot_secrecy !== "secret" && h("p", { class: "hint" }, t(`${question.ballot_secrecy}Ballots`)),
    hint && h("p", { class: "hint" }, hint),
    question.status === "scheduled" && h("p", { class: "hint" }, t("notOpenYet", { when: exact(question.opens_at) })),
    question.deleted_at && h("p", { class: "hint" }, t("isDeleted")),
  ];
  if (!may) return { content: [list.sorter, list.list, notes], show: list.show };

  const label = t(needsAccount(question) ? "signInToVote" : ballot ? "change" : "vote");
  const rule = h("p", { class: "hint", id: newId() }, ruleOf(question));
  const mistake = h("p", { class: "mistake", role: "alert", id: newId() });
  const progress = h("p", { class: "progress", role: "status" });
  const submit = h("button", { class: "primary", "aria-describedby": mistake.id }, label);
  const marks = {
    set: () => list.list,
    ranking: () => control.ranking(choices, { ranked: chosen.choice_ids, most: question.max_choices }),
    scores: () => control.scoring(choices, { given: chosen.scores, most: question.max_score }),
  }[kind]();
  function selected() {
    const data = new FormData(content);
    return kind === "scores" ? { scores: control.scores(choices, data) } : { choice_ids: data.getAll("choice") };
  }

  /** Says how many choices are selected, and that they are not counted yet. */
  function tell() {
    const paper = selected();
    const { length } = named(paper);
    const isSent = cast && agree(kind, paper, paperOf(cast));
    fill(progress,
      question.max_choices > 1 && h("span", {}, t("chosenOf", { n: length, max: question.max_choices })),
      length > 0 && !isSent
        && h("strong", {}, t(needsAccount(question) ? "notCountedSignIn" : "notCounted", { button: label })));
  }

  /** Says what is wrong with the selection, beside the button. */
  function blame(text) {
    fill(mistake, text);
    submit.focus();
  }

  async function send(paper) {
    try {
      // The first vote of somebody without an account.
      if (!viewerOf(id).stored) enterAsGuest(await api("POST", "/auth/guest"));
      const sent = await put(question, paper, receipts);
      toast(t(!ballot ? "counted" : sent.updated_at === ballot.updated_at ? "unchanged" : "changed"));
      select(id, null);
      channel.postMessage(id);
      if (sent.results) show(sent.results);
      await reread(sent);
    } catch (error) {
      // The page is out of date.
      if (error.code === "invalid_fields") toast(t("questionChanged"));
      else if (REFUSALS.includes(error.code)) toast(say(error));
      else throw error;
      await reread(await ownBallot(id));
    }
  }

  const withdraw = ballot && action(t("withdraw"), async () => {
    await api("DELETE", `/questions/${id}/ballot`, { as: viewerOf(id) });
    toast(t("withdrawn"));
    select(id, null);
    channel.postMessage(id);
    await reread(null);
  });
  const content = form({ class: "plain voting" },
    async () => {
      const paper = selected();
      const { length } = named(paper);
      fill(mistake);
      if (needsAccount(question)) return go(loginPath());
      if (length < question.min_choices || length > question.max_choices) return blame(ruleOf(question));
      return send(paper);
    },
    h("fieldset", { "aria-describedby": rule.id },
      h("legend", { class: "unseen" }, question.question_text), rule, isOneList && list.sorter, marks),
    notes,
    h("div", { class: "foot" }, mistake, progress,
      buttons(
        submit,
        needsAccount(question) && offers.includes("registration") && h("a", { href: withReturn("/register"), class: "button" }, t("signUp")),
        withdraw)));
  content.addEventListener("change", () => {
    fill(mistake);
    select(id, selected());
    tell();
  });
  tell();
  if (isOneList) return { content, show: list.show };
  const numbers = h("section", { "aria-label": t("results") },
    h("p", { class: "hint" }, t(kind === "scores" ? "sums" : "firstChoices")), list.sorter, list.list);
  return {
    content: [content, numbers],
    show(results) {
      numbers.hidden = !results;
      list.show(results);
    },
  };
}

/** Why a ballot was refused by a question that has changed since it was read. */
const REFUSALS = ["voting_closed", "voting_not_open", "already_voted", "not_eligible", "address_limit"];

/** Casts the ballot. An anonymous one has a receipt, the same each time that it is sent. */
async function put({ id }, paper, receipts) {
  const send = (body) => api("PUT", `/questions/${id}/ballot`, { body, as: viewerOf(id) });
  if (!receipts) return send(paper);
  try {
    return await send({ ...paper, receipt: receipts.receiptFor(id) });
  } catch (error) {
    if (error.code !== "receipt_taken") throw error;
    return send({ ...paper, receipt: receipts.draw(id) });
  }
}

/** Who may vote, if that is not everybody with an account, or why the voter may not. */
function electorateOf(question, { code }) {
  if (code === "not_eligible" && question.electorate === "verified") {
    return [t("verifyFirst"), " ", h("a", { href: "/account" }, t("account"))];
  }
  if (code) return explain({ code, message: t("notEligible") });
  if (needsInvitation(question)) return t("onlyInvited");
  return { anyone: t("anyoneVotes"), verified: t("verifiedVote"), invited: t("youAreInvited") }[question.electorate];
}

/** What was selected before, unless the method has changed since. */
function ownSelection(id, kind) {
  const paper = selection(id);
  return paper && Boolean(paper.scores) === (kind === "scores") ? paper : undefined;
}

const blank = (kind) => (kind === "scores" ? { scores: [] } : { choice_ids: [] });

/** Marks what the ballot says in the list of choices. */
function markOwn(list, choices, kind, ballot) {
  choices.forEach((choice, index) => {
    const place = ballot.choice_ids.indexOf(choice.id);
    if (place < 0) return;
    const row = list.list.children[index].firstChild;
    row.classList.add("yours");
    const text = row.querySelector(".text");
    if (kind === "set") text.append(h("span", { class: "unseen" }, `${t("betweenParts")}${t("yours")}`));
    else if (kind === "ranking") text.append(h("span", { class: "own" }, t("yourPlace", { n: place + 1 })));
    else text.append(h("span", { class: "own" }, t("yourScore", { n: ballot.scores.find((one) => one.choice_id === choice.id).score })));
  });
}

function ruleOf({ method, min_choices: min, max_choices: max, choices }) {
  const kind = kindOf(method);
  if (kind !== "set" && max === choices.length && min <= 1) return t(kind === "scores" ? "scoreSome" : "rankSome");
  if (min === max) return t("chooseExactly", { n: max });
  return min <= 1 ? t("chooseUpTo", { max }) : t("chooseBetween", { min, max });
}
