// The choices of a question, with the controls to vote. What is selected but not sent yet is kept in
// the tab: while the question changes, through signing in, and when the page is loaded again.

import { api, part } from "./api.js";
import { buttons, fill, h, newId, toast } from "./dom.js";
import { action, form, say } from "./form.js";
import { agree, kindOf, named, paperOf, within } from "./paper.js";
import { bars } from "./results.js";
import { becomeGuest, isGuest, isInvitedTo, isSignedIn, loginPath, viewerOf, withReturn } from "./session.js";
import { tab } from "./store.js";
import { exact, explain, t } from "./texts.js";
import { moment } from "./times.js";

/** Tells the other tabs on which question somebody has voted. */
const channel = new BroadcastChannel("polls.ballots");

/** Calls `work` when a vote on the question is cast or withdrawn in another tab. */
export function onVoteElsewhere(id, signal, work) {
  channel.addEventListener("message", ({ data }) => data === id && work(), { signal });
}

/** The viewer's ballot on a question, or null. */
export async function ownBallot(id, signal) {
  const session = viewerOf(id);
  if (!session.stored) return null;
  try {
    const { data } = await api("GET", `/users/me/ballots?question_id=${id}`, { session, signal });
    return data[0] ?? null;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

/**
 * Whether one may vote, and the code of the reason if not: `unauthenticated` if one has to sign in. Asks
 * the server where that depends on more than being signed in.
 */
export async function eligibility({ id, status, electorate, ballots_per_address: limit }, signal) {
  if (status !== "open") return { can_vote: false };
  const isForAccounts = electorate === "accounts" || electorate === "verified";
  if (isForAccounts && !isSignedIn()) return { can_vote: false, code: "unauthenticated" };
  if (electorate === "invited" && !isInvitedTo(id)) return { can_vote: false, code: "not_eligible" };
  const isForAll = electorate === "anyone" && !(limit && isGuest());
  if (isForAll || electorate === "accounts") return { can_vote: true };
  return api("GET", `/questions/${id}/eligibility`, { session: viewerOf(id), signal });
}

/** The reasons that do not hold for whoever signs in. */
const SIGN_IN = ["unauthenticated", "address_limit", "address_unknown"];

/** The modules of the controls, by what ballots are. The list with the bars is the one for sets. */
const CONTROLS = { ranking: () => import("./ranking.js"), scores: () => import("./scoring.js") };

/** Loads the module of the control for ballots by this method, if it has one. */
export async function controlOf(method) {
  const load = CONTROLS[kindOf(method)];
  return load && part(load);
}

const keyOf = (id) => `polls.chosen.${id}`;

/** What is selected but not sent, as a ballot has it. */
const selection = (id) => JSON.parse(tab.read(keyOf(id)) ?? "null");

function select(id, paper) {
  tab.write(keyOf(id), paper ? JSON.stringify(paper) : null);
}

/**
 * The choices with their bars, and with controls if one may vote, for which `control` is what
 * `controlOf` has loaded. `eligible` is what `eligibility` has said. `reread` is called with the new
 * ballot, `show` with results. Returns the content, and a function that shows results in the bars.
 */
export function voting({ question, control, eligible, ballot, hint, offers, go, reread, show }) {
  const { id, choices } = question;
  const takes = question.status === "open" && !question.deleted_at;
  /** Whether one has to sign in to vote. */
  const signsIn = !ballot && !isSignedIn() && SIGN_IN.includes(eligible.code);
  const may = takes && (ballot ? question.allow_change : eligible.can_vote || signsIn);
  const kind = kindOf(question.method);
  const before = ownSelection(id, kind) ?? (ballot && paperOf(ballot)) ?? blank(kind);
  const chosen = within(before, choices);
  const isGone = may && named(chosen).length < named(before).length;
  if (isGone) select(id, chosen);
  const isOneList = kind === "set";
  const list = bars(choices, { before: may && isOneList && ((choice) => h("input", {
    type: question.max_choices > 1 ? "checkbox" : "radio", name: "choice", value: choice.id,
    checked: chosen.choice_ids.includes(choice.id),
  })) });
  if (ballot) markOwn(list, choices, kind, ballot);
  const notes = [
    isGone && h("p", { class: "note", role: "alert" }, t("choiceGone")),
    ballot && h("p", { class: "voted" }, moment(question.allow_change ? "voted" : "votedFinal", ballot.updated_at)),
    ballot && isGuest() && !isInvitedTo(id) && offers.includes("registration")
      && h("p", { class: "hint" }, t("votedAsGuest"), " ", h("a", { href: withReturn("/register") }, t("signUp"))),
    takes && whoMay(question, eligible, ballot),
    takes && question.ballot_secrecy === "public" && h("p", { class: "hint" }, t("publicBallots")),
    hint && h("p", { class: "hint" }, hint),
    question.status === "scheduled" && h("p", { class: "hint" }, t("notOpenYet", { when: exact(question.opens_at) })),
    question.deleted_at && h("p", { class: "hint" }, t("isDeleted")),
  ];
  if (!may) return { content: [list.sorter, list.list, notes], show: list.show };

  const label = t(signsIn ? "signInToVote" : ballot ? "change" : "vote");
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
    const isSent = ballot && agree(kind, paper, paperOf(ballot));
    fill(progress,
      question.max_choices > 1 && h("span", {}, t("chosenOf", { n: length, max: question.max_choices })),
      length > 0 && !isSent
        && h("strong", {}, t(signsIn ? "notCountedSignIn" : "notCounted", { button: label })));
  }

  /** Says what is wrong with the selection, beside the button. */
  function blame(text) {
    fill(mistake, text);
    submit.focus();
  }

  async function send(paper) {
    try {
      // A guest who has not voted is not missed: should an answer get lost, another one is made.
      if (!viewerOf(id).stored) await becomeGuest(() => api("POST", "/auth/guest", { repeatable: true }));
      const cast = await api("PUT", `/questions/${id}/ballot`, { body: paper, session: viewerOf(id) });
      toast(t(!ballot ? "counted" : cast.updated_at === ballot.updated_at ? "unchanged" : "changed"));
      select(id, null);
      channel.postMessage(id);
      if (cast.results) show(cast.results);
      await reread(cast);
    } catch (error) {
      // The page is out of date.
      if (error.code === "invalid_fields") toast(t("questionChanged"));
      else if (REFUSALS.includes(error.code)) toast(say(error));
      else throw error;
      await reread(await ownBallot(id));
    }
  }

  const withdraw = ballot && action(t("withdraw"), async () => {
    await api("DELETE", `/questions/${id}/ballot`, { session: viewerOf(id) });
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
      if (signsIn) return go(loginPath());
      if (length < question.min_choices || length > question.max_choices) return blame(ruleOf(question));
      return send(paper);
    },
    h("fieldset", { "aria-describedby": rule.id },
      h("legend", { class: "unseen" }, question.question_text), rule, isOneList && list.sorter, marks),
    notes,
    h("div", { class: "foot" }, mistake, progress,
      buttons(
        submit,
        signsIn && offers.includes("registration") && h("a", { href: withReturn("/register"), class: "button" }, t("signUp")),
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

/** How a question refuses a ballot if it has changed since the page read it. */
const REFUSALS = ["voting_closed", "voting_not_open", "already_voted", "not_eligible", "address_limit", "address_unknown"];

/** Who may vote without an account or with a verified address, or why the voter may not. */
function whoMay({ electorate }, { code }, ballot) {
  const hint = (...content) => h("p", { class: "hint" }, content);
  if (code === "not_eligible") {
    return electorate === "verified"
      ? hint(t(ballot ? "verifyToChange" : "verifyToVote"), " ", h("a", { href: "/account" }, t("account")))
      : hint(t("onlyInvited"));
  }
  if (code === "address_limit" || code === "address_unknown") return hint(explain({ code }));
  if (electorate === "invited" && !ballot) return hint(t("youAreInvited"));
  if (isSignedIn() || ballot) return null;
  return { anyone: hint(t("anyoneVotes")), verified: hint(t("verifiedVote")) }[electorate];
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
