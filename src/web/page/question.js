// One question: vote, and watch the results.

import { api, Problem } from "./api.js";
import { buttons, fill, h, heading, icon, toast } from "./dom.js";
import { action, confirm, dialog, field, form, input } from "./form.js";
import { follow } from "./live.js";
import { badge, facts } from "./questions.js";
import { bars, inWords, ofQuestion } from "./results.js";
import { accountId, isSignedIn } from "./session.js";
import { date, t, when } from "./texts.js";

/** How often screen readers hear the results, in milliseconds. */
const ANNOUNCED = 10_000;

/** The choices that were selected before signing in. */
const CHOSEN = "polls.chosen";

const SHARE = "M12 15V4m0 0L8 8m4-4l4 4M5 12v7h14v-7";

/** The longest delay of `setTimeout`. */
const LONGEST = 2 ** 31 - 1;

export async function question({ id, signal, go, again }) {
  const path = `/questions/${id}`;
  const [read, ballot, role] = await Promise.all([
    api("GET", path, { signal }),
    mine(path, signal),
    isSignedIn() ? api("GET", "/users/me", { signal }).then((me) => me.role, () => "user") : "user",
  ]);
  const state = { question: read, ballot, results: ofQuestion(read) };
  const places = {
    meta: h("p", { class: "meta" }),
    vote: h("section", { "aria-label": t("vote") }),
    live: h("p", { class: "live" }),
    words: h("p", { class: "unseen", role: "status" }),
  };
  let shown;
  let following = null;

  /** Renders everything but the numbers. */
  function draw() {
    const { question } = state;
    fill(places.meta, badge(question), facts({ ...question, ballot_count: undefined }).map((fact) => h("span", {}, fact)));
    shown = voting({ state, path, go, reread, keep });
    fill(places.vote, shown.content);
    shown.show(state.results);
    count();
  }

  /** The number of ballots, and how it is kept up to date. */
  function count(how) {
    if (how) state.how = how;
    const { results, question } = state;
    const told = state.results && t("ballots", { n: results.ballot_count });
    const ended = question.status === "closed";
    const words = ended ? results?.is_final && t("final") : question.status === "open" && state.how && t(state.how);
    const sign = words && h("span", { class: `how ${ended ? "final" : state.how}` }, words);
    fill(places.live, told && h("strong", {}, told), state.results && sign);
  }

  let saying;
  function keep(results) {
    // Ignores results that are older than those shown.
    if (state.results && results && results.as_of < state.results.as_of) return;
    state.results = results;
    shown?.show(results);
    count();
    saying ??= setTimeout(() => {
      saying = undefined;
      if (state.results) fill(places.words, inWords(state.results));
    }, results?.is_final ? 0 : ANNOUNCED);
  }

  /** Reads the question again after its status has changed. */
  async function reread(ballot) {
    if (ballot !== undefined) state.ballot = ballot;
    const before = state.question.status;
    state.question = await api("GET", path, { signal });
    const seen = ofQuestion(state.question);
    if (!seen || !state.results || before !== state.question.status) state.results = seen;
    draw();
    watch();
  }

  /** Follows the results until they are final. */
  function watch() {
    schedule();
    following?.abort();
    const { status, deleted_at } = state.question;
    if (deleted_at || !state.results || status === "scheduled") return;
    following = new AbortController();
    follow(id, {
      signal: AbortSignal.any([signal, following.signal]),
      results: keep,
      state: count,
      ended: async (why) => {
        if (why === "deleted") {
          toast(t("gone"));
          return again();
        }
        if (why !== "closed" || status !== "closed") return reread().catch(() => {});
        keep(await api("GET", `${path}/results`, { signal }));
      },
    }).catch(() => {});
  }

  let timer;
  /** Reloads when voting opens or closes. */
  function schedule() {
    clearTimeout(timer);
    const { opens_at, closes_at } = state.question;
    const times = [opens_at, closes_at].filter(Boolean).map((time) => new Date(time) - Date.now());
    const next = Math.min(...times.filter((left) => left > 0));
    if (next < LONGEST) timer = setTimeout(() => reread().catch(() => {}), next + 250);
  }
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    clearTimeout(saying);
  });

  draw();
  watch();
  const own = read.author.id === accountId();
  return {
    title: read.question_text,
    content: [
      h("article", {},
        heading(read.question_text),
        places.meta,
        read.description && h("p", { class: "description" }, read.description),
        places.vote,
        h("div", { class: "under" }, places.live,
          h("button", { type: "button", class: "quiet", onclick: () => share(read) }, icon(SHARE), t("share"))),
        places.words),
      (own || role === "admin") && manage({ question: read, path, own, go, again }),
    ],
  };
}

/** The user's ballot, or null. */
async function mine(path, signal) {
  if (!isSignedIn()) return null;
  try {
    return await api("GET", `${path}/ballot`, { signal });
  } catch (error) {
    if (error instanceof Problem && [401, 404].includes(error.status)) return null;
    throw error;
  }
}

/** The choices, with controls if one may vote. */
function voting({ state, path, go, reread, keep }) {
  const { question, ballot } = state;
  const takes = question.status === "open" && !question.deleted_at;
  const may = takes && (!ballot || question.allow_change);
  const several = question.max_choices > 1;
  const before = sessionStorage.getItem(CHOSEN)?.split(" ") ?? [];
  sessionStorage.removeItem(CHOSEN);
  const chosen = ballot?.choice_ids ?? before;
  const list = bars(question.choices, may ? (choice) => h("input", {
    type: several ? "checkbox" : "radio", name: "choice", value: choice.id, checked: chosen.includes(choice.id),
  }) : undefined);
  if (ballot) {
    question.choices.forEach((choice, index) => {
      if (!ballot.choice_ids.includes(choice.id)) return;
      const row = list.list.children[index].firstChild;
      row.classList.add("yours");
      row.querySelector(".text").append(h("span", { class: "unseen" }, `, ${t("yours")}`));
    });
  }

  const hint = h("p", { class: "hint", id: "rule" }, rule(question));
  const notes = [
    ballot && h("p", { class: "voted" }, t(question.allow_change ? "voted" : "votedFinal", { when: when(ballot.updated_at) })),
    hiding(state),
    question.status === "scheduled" && h("p", { class: "hint" }, t("notOpenYet", { when: date(question.opens_at) })),
    question.deleted_at && h("p", { class: "hint" }, t("isDeleted")),
  ];
  if (!may) return { content: [list.list, notes], show: list.show };

  const withdraw = ballot && action(t("withdraw"), async () => {
    await api("DELETE", `${path}/ballot`);
    toast(t("withdrawn"));
    await reread(null);
  });
  const content = form({ class: "plain voting" },
    async (data) => {
      const ids = data.getAll("choice");
      if (!isSignedIn()) {
        sessionStorage.setItem(CHOSEN, ids.join(" "));
        return go(`/login?next=${encodeURIComponent(location.pathname)}`);
      }
      try {
        const cast = await api("PUT", `${path}/ballot`, { body: { choice_ids: ids } });
        toast(t(ballot ? "changed" : "counted"));
        if (cast.results) keep(cast.results);
        await reread(cast);
        // Takes the focus from no other control.
        if (document.activeElement === document.body) document.querySelector(".voting .primary")?.focus();
      } catch (error) {
        // The page was out of date: it is updated, and shows the error, too.
        if (["voting_closed", "voting_not_open", "already_voted"].includes(error.code)) {
          reread(await mine(path)).catch(() => {});
        }
        for (const one of error.errors ?? []) one.text = rule(question);
        throw error;
      }
    },
    h("fieldset", { "data-pointer": "/choice_ids", "aria-describedby": "rule" },
      h("legend", { class: "unseen" }, question.question_text), hint, list.list),
    notes,
    buttons(
      h("button", { class: "primary" }, t(!isSignedIn() ? "signInToVote" : ballot ? "change" : "vote")),
      withdraw));
  return { content, show: list.show };
}

function rule({ min_choices: min, max_choices: max }) {
  if (min === max) return t("chooseExactly", { n: max });
  return min <= 1 ? t("chooseUpTo", { max }) : t("chooseBetween", { min, max });
}

/** Why the results are hidden. */
function hiding({ question, results }) {
  if (results) return null;
  const why = { after_vote: "hiddenAfterVote", after_close: "hiddenAfterClose", author: "hiddenAuthor" };
  const key = why[question.results_visibility];
  return key && h("p", { class: "hint" }, t(key));
}

/** What the author and admins can do. */
function manage({ question, path, own, go, again }) {
  const then = async (text) => {
    toast(t(text));
    await again();
  };
  const post = (verb, body) => api("POST", `${path}/${verb}`, { body, repeatable: true });
  const close = () => confirm(t("closeVoting"), t("closeSure"), t("closeVoting"), async () => {
    await post("close");
    await then("nowClosed");
  });
  const reopen = () => confirm(t("reopen"), t("reopenSure"), t("reopen"), async (data) => {
    const end = data.get("closes_at");
    await post("reopen", end ? { closes_at: new Date(end).toISOString() } : {});
    await then("nowOpen");
  }, field(t("closesAtNew"), input("closes_at", { type: "datetime-local" }), { pointer: "/closes_at", optional: true }));
  const remove = () => confirm(t("remove"), t("removeSure"), t("remove"), async () => {
    await api("DELETE", path);
    toast(t("nowDeleted"));
    await go(own ? "/questions?whose=mine" : "/questions");
  });
  const restore = async () => {
    await post("restore");
    await then("nowRestored");
  };
  const heading = t(own ? "manage" : "moderate");
  return h("section", { class: "manage", "aria-label": heading },
    h("h2", {}, heading),
    buttons(question.deleted_at
      ? action(t("restore"), restore)
      : [
        h("a", { href: `/questions/${question.id}/edit`, class: "button" }, t("edit")),
        question.status === "closed" ? action(t("reopen"), reopen) : action(t("closeVoting"), close),
        action(t("remove"), remove, { class: "danger" }),
      ]));
}

/** Ways to show the question to others. */
function share({ id, question_text: text }) {
  const url = `${location.origin}/questions/${id}`;
  const frame = `<iframe src="${location.origin}/embed/${id}" title="polls" width="480" height="360" style="border:0"></iframe>`;
  const alt = text.replace(/[[\]\\]/g, "\\$&");
  const markdown = `[![${alt}](${location.origin}/api/v1/questions/${id}/results.svg)](${url})`;
  const line = (label, value, name) => {
    const box = input(name, { value, readonly: true, onfocus: (event) => event.target.select() });
    const copy = action(t("copy"), async () => {
      try {
        await navigator.clipboard.writeText(value);
        toast(t("copied"));
      } catch {
        // Without HTTPS there is no clipboard.
        box.focus();
        toast(t("copyByHand"));
      }
    });
    const row = field(label, box);
    row.append(copy);
    row.classList.add("copied");
    return row;
  };
  return dialog(t("shareTitle"), (leave) => [
    line(t("link"), url, "link"),
    line(t("embedCode"), frame, "frame"),
    line(t("picture"), markdown, "picture"),
    buttons(
      navigator.share && action(t("send"), () => navigator.share({ title: text, url }).catch(() => {}), { class: "primary" }),
      h("button", { type: "button", onclick: leave }, t("close"))),
  ]);
}
