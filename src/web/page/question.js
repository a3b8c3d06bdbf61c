// One question: vote, and watch the results.

import { api, part } from "./api.js";
import { controlOf, eligibility, onVoteElsewhere, ownBallot, voting } from "./ballot.js";
import { buttons, fill, h, heading, icon, toast } from "./dom.js";
import { badge, facts } from "./facts.js";
import { action, check, confirm, field, input, say } from "./form.js";
import { counting, inWords } from "./outcome.js";
import { kindOf } from "./paper.js";
import { ofQuestion } from "./results.js";
import { accountId, isSignedIn, viewerOf } from "./session.js";
import { t } from "./texts.js";
import { watch } from "./watch.js";

/** How often screen readers hear the results, in milliseconds. */
const ANNOUNCED = 10_000;

const SHARE = "M12 15V4m0 0L8 8m4-4l4 4M5 12v7h14v-7";

export async function question({ id, query, offers, signal, go, again, entitle }) {
  const path = `/questions/${id}`;
  const known = {};
  const [read, ballot, role] = await Promise.all([
    api("GET", path, { session: viewerOf(id), signal, known }),
    ownBallot(id, signal),
    isSignedIn() ? api("GET", "/users/me", { signal }).then((me) => me.role, () => "user") : "user",
  ]);
  const [control, eligible] = await Promise.all([controlOf(read.method), eligibility(read, signal)]);
  const state = { question: read, ballot, eligible, results: ofQuestion(read) };
  const own = read.author.id === accountId();
  const places = {
    title: heading(),
    meta: h("p", { class: "meta" }),
    description: h("div", {}),
    vote: h("section", { "aria-label": t("vote") }),
    counting: counting(id, signal),
    live: h("p", { class: "live" }),
    words: h("p", { class: "unseen", role: "status" }),
    manage: h("div", {}),
    signed: h("button", { type: "button", class: "quiet", onclick: () => offer("whoVoted").catch((error) => toast(say(error))) }, t("whoVotedHow")),
  };
  let shown;

  /** Renders everything. */
  function draw() {
    const { question, ballot, eligible, results } = state;
    fill(places.title, question.question_text);
    fill(places.meta, badge(question), facts({ ...question, ballot_count: undefined }).map((fact) => h("span", {}, fact)));
    fill(places.description, question.description && h("p", { class: "description", dir: "auto" }, question.description));
    shown = voting({ question, control, eligible, ballot, hint: hiding(state), offers, go, reread, show: (results) => watching.show(results) });
    keepFocus(places.vote, () => fill(places.vote, shown.content));
    shown.show(results);
    places.counting.show(question, results);
    places.signed.hidden = question.ballot_secrecy !== "public" || !results;
    if (own || role === "admin") keepFocus(places.manage, () => fill(places.manage, manage({ question, path, own, offer, go, again })));
    count();
  }

  /** The number of ballots, and how it is kept up to date. */
  function count(how) {
    if (how) state.how = how;
    const { results, question } = state;
    const told = results && t("ballots", { n: results.ballot_count });
    const ended = question.status === "closed";
    const words = ended ? results?.is_final && t("final") : question.status === "open" && state.how && t(state.how);
    const sign = words && h("span", { class: `how ${ended ? "final" : state.how}` }, words);
    fill(places.live, told && h("strong", {}, told), results && sign);
  }

  let saying;
  function keep(results) {
    state.results = results;
    shown.show(results);
    places.counting.show(state.question, results);
    count();
    saying ??= setTimeout(() => {
      saying = undefined;
      if (state.results) fill(places.words, inWords(state.question, state.results));
    }, results.is_final ? 0 : ANNOUNCED);
  }
  signal.addEventListener("abort", () => clearTimeout(saying));

  const watching = watch(read, {
    known, signal, results: keep, state: count,
    changed(question, results) {
      const before = state.question;
      if (kindOf(before.method) !== kindOf(question.method)) {
        toast(t("questionChanged"));
        return void again();
      }
      Object.assign(state, { question, results });
      draw();
      askEligibility().then((isNew) => isNew && draw());
      entitle(question.question_text);
      const news = { closed: "nowClosed", open: "votingOpen" }[question.status];
      if (before.status !== question.status && news) toast(t(news));
      else if (before.revision !== question.revision) toast(t("questionChanged"));
    },
    gone() {
      toast(t("gone"));
      again();
    },
  });

  /**
   * Asks again whether one may vote; returns whether the answer is another than before. Where that
   * fails, the answer to the ballot will tell.
   */
  async function askEligibility() {
    const told = await eligibility(state.question, signal).catch(() => ({ can_vote: true }));
    const isNew = JSON.stringify(told) !== JSON.stringify(state.eligible);
    state.eligible = told;
    return isNew && !signal.aborted;
  }

  /** Reads the question again, and shows it with this ballot. */
  async function reread(ballot) {
    state.ballot = ballot;
    await Promise.all([watching.look(), askEligibility()]);
    if (!signal.aborted) draw();
  }

  /** Shows the ballot that was cast elsewhere, and what else has changed for the voter. */
  async function followBallot() {
    const ballot = await ownBallot(id, signal);
    const isRefused = state.question.status === "open" && !state.eligible.can_vote;
    // Whoever may not vote may have verified the address meanwhile.
    if (ballot?.updated_at !== state.ballot?.updated_at || isRefused) await reread(ballot);
  }
  onVoteElsewhere(id, signal, () => followBallot().catch(() => {}));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) followBallot().catch(() => {});
  }, { signal });

  /** Opens a dialog about who has voted, or the ballots as files. */
  async function offer(name) {
    const dialogs = await part(() => import("./authors.js"));
    await dialogs[name](state.question, offers);
  }
  const loadSharing = () => part(() => import("./share.js"));
  async function share() {
    try {
      const { sharing } = await loadSharing();
      await sharing(state.question, offers);
    } catch (error) {
      toast(say(error));
    }
  }
  // Once, for whoever has just asked it.
  const isNew = query.has("ready");
  if (isNew) history.replaceState(history.state, "", location.pathname);

  draw();
  return {
    title: read.question_text,
    content: [
      isNew && (await loadSharing()).ready(read, offers),
      h("article", {},
        places.title,
        places.meta,
        places.description,
        places.vote,
        places.counting.element,
        h("div", { class: "under" }, places.live, places.signed,
          h("button", { type: "button", class: "quiet", onclick: share }, icon(SHARE), t("share"))),
        places.words),
      places.manage,
    ],
  };
}

/** Replaces the content of `place`, and focuses what has replaced the control that had the focus. */
function keepFocus(place, replace) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  replace();
  if (!focused || !focused.matches("input, button, a")) return;
  const alike = [...place.querySelectorAll(focused.localName)].find((one) =>
    one.value === focused.value && one.textContent === focused.textContent);
  (alike ?? place.querySelector(".primary"))?.focus({ preventScroll: true });
}

/** Why the results are hidden. */
function hiding({ question, results }) {
  if (results) return null;
  const why = { after_vote: "hiddenAfterVote", after_close: "hiddenAfterClose", author: "hiddenAuthor" };
  const key = why[question.results_visibility];
  return key && t(key);
}

/** What the author and admins can do. */
function manage({ question, path, own, offer, go, again }) {
  const then = async (text) => {
    toast(t(text));
    await again();
  };
  const post = (verb, body) => api("POST", `${path}/${verb}`, { body, repeatable: true });
  const close = async () => {
    const done = await confirm(t("closeVoting"), t("closeSure"), t("closeVoting"), () => post("close"));
    if (done) await then("nowClosed");
  };
  const reopen = async () => {
    const done = await confirm(t("reopen"), t("reopenSure"), t("reopen"), (data) => {
      const end = data.get("closes_at");
      return post("reopen", end ? { closes_at: new Date(end).toISOString() } : {});
    }, field(t("closesAtNew"), input("closes_at", { type: "datetime-local" }), { pointer: "/closes_at", optional: true }));
    if (done) await then("nowOpen");
  };
  const remove = async () => {
    const done = await confirm(t("remove"), t("removeSure"), t("remove"), () => api("DELETE", path),
      question.ballot_count !== 0 && check("sure", t("removeCheck"), { required: true }));
    if (!done) return;
    toast(t("nowDeleted"));
    await go(own ? "/questions?whose=mine" : "/questions");
  };
  const restore = async () => {
    await post("restore");
    await then("nowRestored");
  };
  const isPublic = question.ballot_secrecy === "public";
  const isClosed = question.status === "closed";
  const heading = t(own ? "manage" : "moderate");
  return h("section", { class: "manage", "aria-label": heading },
    h("h2", {}, heading),
    buttons(question.deleted_at
      ? action(t("restore"), restore)
      : [
        h("a", { href: `/questions/${question.id}/edit`, class: "button" }, t("edit")),
        h("a", { href: `/questions/new?from=${question.id}`, class: "button" }, t("askAgain")),
        isClosed ? action(t("reopen"), reopen) : action(t("closeVoting"), close),
        question.electorate === "invited" && !isClosed && action(t("invite"), () => offer("invite")),
        isClosed && !isPublic && action(t("whoVoted"), () => offer("whoVoted")),
        (isClosed || isPublic) && action(t("saveVotes"), () => offer("save")),
        action(t("remove"), remove, { class: "danger" }),
      ]));
}
