// Live results: Server-Sent Events, or polling where a proxy blocks streams.

import { connectionIs, problem, Problem, send, Unreachable } from "./api.js";
import { backOff, pause } from "./dom.js";

/** The polling interval: at first, and the longest after no change. */
const OFTEN = 1500;
const SELDOM = 10_000;

/** How long to wait for the first event, and for the next event or heartbeat (every 15 seconds). */
const FIRST = 5000;
const SILENCE = 40_000;

/** Why there is nothing more to follow, by end reason or problem code. */
const ENDS = {
  closed: "closed",
  deleted: "deleted",
  hidden: "hidden",
  not_found: "deleted",
  results_hidden: "hidden",
};

/**
 * Follows the results of a question until `signal` is aborted.
 *
 * `results` is called with each state, `state` with `live`, `polling` or `waiting`, and `ended`
 * when there is nothing more to follow: `closed`, `deleted` or `hidden`.
 */
export async function follow(id, { results, state, ended, signal }) {
  const path = `/questions/${id}/results`;
  let read = stream;
  for (let attempt = 0; !signal.aborted; attempt++) {
    let after = 0;
    try {
      const end = await read(path, signal, (how, now) => {
        connectionIs(true);
        attempt = 0;
        state(how);
        if (now) results(now);
      });
      if (end === NO_STREAM) {
        read = poll;
        continue;
      }
      if (end) return ended(end);
    } catch (error) {
      if (signal.aborted) return;
      if (ENDS[error.code]) return ended(ENDS[error.code]);
      if (error instanceof Problem && ![429, 502, 503, 504].includes(error.status)) throw error;
      // A broken stream does not mean that the server cannot be reached.
      if (error instanceof Unreachable && read === poll) connectionIs(false);
      after = error.after ?? 0;
    }
    state("waiting");
    // Some proxies block streams: every other attempt polls.
    read = read === stream && attempt >= 2 ? poll : stream;
    await pause(Math.max(after * 1000, backOff(attempt)), signal).catch(() => {});
  }
}

const NO_STREAM = Symbol("no stream");

/** The last event id of each stream, for `Last-Event-ID`. */
const seen = new Map();

/** Reads events until the server ends the stream; returns why, unless one should reconnect. */
async function stream(path, outer, tell) {
  const silence = new AbortController();
  const signal = AbortSignal.any([outer, silence.signal]);
  let timer;
  const expect = (within) => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Unreachable()), within);
  };
  expect(FIRST);
  try {
    const headers = { Accept: "text/event-stream" };
    if (seen.has(path)) headers["Last-Event-ID"] = seen.get(path);
    const answer = await send("GET", `${path}/live`, { headers, signal });
    if (!answer.ok) {
      const why = await problem(answer);
      // If the question does not exist, polling will tell.
      if ([404, 405, 406, 501].includes(answer.status)) return NO_STREAM;
      throw why;
    }
    for await (const { type, data, id } of events(answer.body, () => expect(SILENCE))) {
      if (id !== undefined) seen.set(path, id);
      if (type === "results") tell("live", JSON.parse(data));
      if (type === "end") return ENDS[JSON.parse(data).reason];
    }
    return undefined;
  } catch (error) {
    outer.throwIfAborted();
    throw error instanceof Problem ? error : new Unreachable();
  } finally {
    clearTimeout(timer);
  }
}

/** Parses Server-Sent Events (HTML standard, section 9.2.6). */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "message", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { ...event, data: event.data.join("\n") };
          event = { type: "message", data: [] };
          continue;
        }
        const [, name, text = ""] = /^([^:]*)(?:: ?(.*))?$/.exec(line);
        if (name === "event") event.type = text;
        else if (name === "data") event.data.push(text);
        else if (name === "id") event.id = text;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Polls the results, less often while they do not change, and not while the page is hidden. */
async function poll(path, signal, tell) {
  let tag;
  let wait = OFTEN;
  for (;;) {
    while (document.hidden) await pause(1000, signal);
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await send("GET", path, { headers, signal });
    if (answer.ok) {
      const now = await answer.json();
      tell("polling", now);
      if (now.is_final) return "closed";
      tag = answer.headers.get("ETag");
      wait = OFTEN;
    } else {
      if (answer.status !== 304) throw await problem(answer);
      tell("polling");
      wait = Math.min(SELDOM, wait * 1.2);
    }
    await pause(wait, signal);
  }
}
