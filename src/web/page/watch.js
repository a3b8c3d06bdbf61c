// Keeps a question up to date while somebody can see it, in the page or in a frame.

import { api, now } from "./api.js";
import { pause } from "./dom.js";
import { follow } from "./live.js";
import { ofQuestion } from "./results.js";
import { viewerOf } from "./session.js";

/**
 * How often the question is read while its results are not followed, in milliseconds: at first, and
 * the longest after no change.
 */
const OFTEN = 15_000;
const SELDOM = 60_000;

/** While they are followed, it is read if nothing has come for this long: the connection may be dead. */
const SILENCE = 60_000;

/** How long after opening and closing times the question is read, and read again at first. */
const AFTERWARDS = 250;
const AGAIN = 1000;

/** What can change of a question beside its numbers. */
const stamp = ({ revision, status, deleted_at, ballot_count }) =>
  JSON.stringify([revision, status, deleted_at, ballot_count === undefined]);

/**
 * Watches a question that was read as `question`, with `known` for its next read. Calls `changed`
 * with the question and its results when more than the numbers has changed, `results` when the
 * numbers have, `state` with how they are kept up to date, and `gone` if there is no such question
 * any more. `element`, if given, has to be in view.
 *
 * Returns `look`, which reads the question now, and `show`, for results that came with an answer.
 */
export function watch(question, { known, element, signal, changed, results, state, gone }) {
  const path = `/questions/${question.id}`;
  let numbers = ofQuestion(question);
  /** Aborted when the question cannot be seen any more. */
  let visible = AbortSignal.abort();
  let following = null;
  /** When the server has last told the numbers. */
  let heard = 0;
  let wake = () => {};

  function show(latest) {
    // Ignores results that are older than those shown.
    if (numbers?.as_of > latest.as_of) return;
    numbers = latest;
    results(latest);
  }

  const isWorthFollowing = () => question.ballot_count !== undefined && !question.deleted_at
    && question.status !== "scheduled" && !numbers.is_final;

  function stream() {
    following?.stop();
    following = null;
    if (!isWorthFollowing() || visible.aborted) return;
    const stop = new AbortController();
    const mine = { stop: () => stop.abort() };
    following = mine;
    heard = performance.now();
    follow(question.id, {
      signal: AbortSignal.any([visible, stop.signal]),
      state,
      results(latest) {
        heard = performance.now();
        show(latest);
        if (latest.revision !== question.revision) look();
      },
    }).catch(() => undefined).then((end) => {
      if (following !== mine) return;
      following = null;
      if (end) look();
      wake();
    });
  }

  async function read() {
    const latest = await api("GET", path, { session: viewerOf(question.id), signal, known });
    if (!latest) return;
    const isChanged = stamp(latest) !== stamp(question);
    question = latest;
    // Results that are followed, and final ones, are newer or say more.
    const isKept = numbers && (question.status === "closed" ? numbers.is_final : following);
    if (question.ballot_count === undefined) numbers = undefined;
    else if (!isKept) numbers = ofQuestion(question);
    if (!isChanged) {
      if (!isKept) results(numbers);
      return;
    }
    changed(question, numbers);
    if (isWorthFollowing() !== Boolean(following)) stream();
    wake();
  }

  let reading = Promise.resolve();
  /** Reads the question, after the reads before. */
  function look() {
    reading = reading.then(read).catch((error) => {
      if (error.status === 404 && !signal.aborted) gone();
    });
    return reading;
  }

  /** How long until the status should change, by the server's clock. */
  function left() {
    const { status, opens_at, closes_at } = question;
    const at = { scheduled: opens_at, open: closes_at }[status];
    return at ? new Date(at) - now() : Infinity;
  }

  /** Reads the question whenever it may have changed. */
  async function keepUp(visible) {
    let late = 0;
    let rest = OFTEN;
    for (;;) {
      const remaining = left();
      late = remaining > 0 ? 0 : late + 1;
      const due = remaining > 0 ? remaining + AFTERWARDS : AGAIN * 2 ** (late - 1);
      const routine = following ? heard + SILENCE - performance.now() : rest;
      const woken = new Promise((resolve) => (wake = () => resolve(true)));
      if (await Promise.race([woken, pause(Math.min(due, routine), visible)])) continue;
      const silent = following && performance.now() >= heard + SILENCE;
      if (routine < due && following && !silent) continue;
      const before = question;
      await look();
      rest = question === before ? Math.min(SELDOM, rest * 1.5) : OFTEN;
      visible.throwIfAborted();
      if (!following) stream();
      else if (silent && !agree(question, numbers)) stream();
      else if (silent) heard = performance.now();
    }
  }

  let isFresh = true;
  whileVisible({ element, signal }, (signal) => {
    visible = signal;
    stream();
    if (!isFresh) look();
    keepUp(visible).catch(() => {});
  });
  isFresh = false;
  return { look, show };
}

/** Whether results have the numbers of the question. */
const agree = (question, results) =>
  question.choices.every(({ votes }, index) => votes === results.choices[index]?.votes);

/**
 * Calls `work` when the page is visible, and again whenever it becomes visible again: what nobody
 * sees need not be kept up to date. The signal that `work` is given is aborted when the page is hidden, and with `signal`. With `element`, the
 * element has to be in view, too: in a frame that is scrolled out of view it is not.
 */
function whileVisible({ element, signal }, work) {
  let inView = !element;
  let working = null;
  const decide = () => {
    const visible = inView && !document.hidden && !signal.aborted;
    if (visible === Boolean(working)) return;
    if (visible) {
      working = new AbortController();
      work(working.signal);
    } else {
      working.abort(new DOMException("not visible", "AbortError"));
      working = null;
    }
  };
  document.addEventListener("visibilitychange", decide, { signal });
  signal.addEventListener("abort", decide);
  if (element) {
    const observer = new IntersectionObserver((entries) => {
      inView = entries.at(-1).isIntersecting;
      decide();
    });
    observer.observe(element);
    signal.addEventListener("abort", () => observer.disconnect());
  }
  decide();
}
