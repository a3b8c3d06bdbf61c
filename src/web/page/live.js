// Live results: over a WebSocket, or by polling where a proxy blocks WebSockets.
//
// Over HTTP/1.1 a browser has six connections to a host, for all tabs and frames together, and a
// stream of Server-Sent Events would keep one of them. WebSockets do not count towards the six.

import { api, connectionIs, Problem } from "./api.js";
import { backOff, pause } from "./dom.js";
import { Unreachable, viewerOf } from "./session.js";

/** The polling interval: at first, and the longest after no change. */
const OFTEN = 1500;
const SELDOM = 10_000;

/** For how long to poll before another WebSocket is tried. */
const POLLED = 60_000;

/** How long to wait for the first message. */
const FIRST = 5000;

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
 * `results` is called with each state, and `state` with `live`, `polling` or `waiting`. Returns when
 * there is nothing more to follow: `closed`, `deleted` or `hidden`.
 */
export async function follow(id, { results, state, signal }) {
  const path = `/questions/${id}/results`;
  const session = viewerOf(id);
  let read = socket;
  for (let attempt = 0; ; attempt++) {
    let after = 0;
    const tell = (how, now) => {
      attempt = 0;
      state(how);
      if (now) results(now);
    };
    try {
      const end = await read(path, { session, signal }, tell);
      if (end) return end;
      if (read === poll) {
        read = socket;
        continue;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (ENDS[error.code]) return ENDS[error.code];
      if (error instanceof Problem && ![429, 502, 503, 504].includes(error.status)) throw error;
      after = error.after ?? 0;
    }
    state("waiting");
    // A broken WebSocket does not mean that the server cannot be reached: polling tells.
    read = read === socket && attempt >= 1 ? poll : socket;
    await pause(Math.max(after * 1000, backOff(attempt)), signal);
  }
}

/** The last access token that the server has refused. */
let refused;

/** Reads events until the server closes the WebSocket; returns why, unless one should reconnect. */
async function socket(path, { session, signal }, tell) {
  const bearer = await session.token(refused);
  signal.throwIfAborted();
  const address = new URL(`/api/v1${path}/ws`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const connection = new WebSocket(address);
  const { promise, resolve, reject } = Promise.withResolvers();
  const timer = setTimeout(() => leave(new Unreachable()), FIRST);
  function leave(reason) {
    reject(reason);
    // Closing a WebSocket that is not open yet would be an error in the console.
    if (connection.readyState === WebSocket.CONNECTING) connection.onopen = () => connection.close();
    else connection.close();
  }
  const stop = () => leave(signal.reason);
  signal.addEventListener("abort", stop);
  let end;
  connection.onopen = () => connection.send(JSON.stringify(
    bearer ? { type: "authenticate", access_token: bearer } : { type: "anonymous" }));
  connection.onmessage = ({ data: text }) => {
    if (signal.aborted) return;
    clearTimeout(timer);
    const { type, data } = JSON.parse(text);
    if (type === "end") end = data.reason;
    if (type !== "results") return;
    connectionIs(true);
    tell("live", data);
  };
  connection.onclose = ({ code, reason }) => {
    if (code === 4401) refused = bearer;
    resolve(ENDS[end ?? reason]);
  };
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  });
}

/** Polls the results for a while, less often while they do not change. */
async function poll(path, { session, signal }, tell) {
  const known = {};
  const until = performance.now() + POLLED;
  for (let wait = OFTEN; performance.now() < until; wait = Math.min(SELDOM, wait * 1.2)) {
    const now = await api("GET", path, { session, signal, known, repeatable: false });
    tell("polling", now);
    if (now?.is_final) return "closed";
    if (now) wait = OFTEN;
    await pause(wait, signal);
  }
  return undefined;
}
