// Results as they change: by the server's events where it sends them, by asking now and then
// where it does not.

import { connectionIs, problem, Problem, send, Unreachable } from "./api.js";
import { backOff, pause } from "./dom.js";

/** How often results are asked for, at first and when nothing has changed for long. */
const OFTEN = 1500;
const SELDOM = 10_000;

/** The server begins with an event and says something every 15 seconds: else the stream is dead. */
const FIRST = 5000;
const SILENCE = 40_000;

/** After what there is nothing more to follow, by the server's words. */
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
      // That a stream breaks may have other reasons.
      if (error instanceof Unreachable && read === poll) connectionIs(false);
      after = error.after ?? 0;
    }
    state("waiting");
    // Some proxies let single answers through, but no streams.
    read = read === stream && attempt >= 2 ? poll : stream;
    await pause(Math.max(after * 1000, backOff(attempt)), signal).catch(() => {});
  }
}

const NO_STREAM = Symbol("no stream");

/** Where in the stream of a question one has got to, for the next connection. */
const seen = new Map();

/** Reads events until the server ends them; gives why, where one need not connect again. */
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
      // Whether the question itself is gone, the results will tell.
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

/** Server-sent events, as the HTML standard has them (section 9.2.6). */
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

/** Asks for the results again and again, seldom where nothing happens, never while out of sight. */
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
