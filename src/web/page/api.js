// What is asked of the server: the public API and nothing but the public API, its time, and the parts
// of the page that are loaded when they are needed.

import { backOff, h, pause } from "./dom.js";
import { mine, retryAfter, Unreachable } from "./session.js";

export { Unreachable };

/** How long a failing call is retried, in milliseconds. */
const RETRY_FOR = 60_000;

/** How long a request may take before the page says so, in milliseconds. */
const SLOW = 5000;

/**
 * The connection to the server: whether it is `lost`, and how many requests wait for long. Dispatches
 * `change`.
 */
export const connection = Object.assign(new EventTarget(), { lost: false, slow: 0 });

function connectionHas(change) {
  Object.assign(connection, change);
  connection.dispatchEvent(new Event("change"));
}

export function connectionIs(well) {
  if (connection.lost === well) connectionHas({ lost: !well });
}

/** An error answer in problem+json. */
export class Problem extends Error {
  constructor(status, body, after) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.errors = body.errors ?? [];
    this.requestId = body.request_id;
    this.after = after;
  }
}

/**
 * Calls the API and returns the body, if any. Repeatable calls are retried with growing pauses.
 * `PUT`, `PATCH` and `DELETE` are idempotent; a `POST` is repeatable only if the caller says so.
 * `known` remembers the entity tag of an answer for the next call, which returns nothing if the
 * resource has not changed. `session` says who calls.
 */
export async function api(method, path, { body, signal, revision, known, repeatable = method !== "POST", session = mine } = {}) {
  const began = Date.now();
  // The language of messages that the call may cause.
  const headers = { "Accept-Language": document.documentElement.lang };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (revision !== undefined) headers["If-Match"] = `"${revision}."`;
  if (known?.tag) headers["If-None-Match"] = known.tag;
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await send(method, path, { headers, body: body && JSON.stringify(body), signal, session });
      connectionIs(true);
      // An earlier attempt has deleted it, but its answer was lost.
      if (answer.status === 404 && method === "DELETE" && attempt > 0) return undefined;
      if (known && answer.status === 304) return undefined;
      if (known && answer.ok) known.tag = answer.headers.get("ETag");
      if (answer.ok) return [202, 204].includes(answer.status) ? undefined : await answer.json();
      throw await problem(answer);
    } catch (error) {
      signal?.throwIfAborted();
      const safe = repeatable || ["overloaded", "shutting_down"].includes(error.code);
      const again = error instanceof Unreachable || [502, 503, 504].includes(error.status);
      if (error instanceof Unreachable) connectionIs(false);
      if (!again || !safe || Date.now() - began > RETRY_FOR) throw error;
      await pause(Math.max((error.after ?? 0) * 1000, backOff(attempt)), signal);
    }
  }
}

/** How many tokens may be refused in a row: on a slow network a token can expire on its way. */
const MAX_REFUSALS = 4;

async function send(method, path, request) {
  const answer = await impatiently(() => authenticated(method, path, request));
  setClock(answer);
  return answer;
}

/** How far the server's clock is ahead of the visitor's, in milliseconds. */
let ahead = 0;

/** Reads the server's time from an answer. The `Date` header leaves out the fraction of a second. */
function setClock(answer) {
  const date = Date.parse(answer.headers.get("Date"));
  if (!Number.isNaN(date)) ahead = date + 500 - Date.now();
}

/**
 * The server's time, in milliseconds since 1970. It decides whether voting is open, whatever the
 * visitor's clock shows.
 */
export const now = () => Date.now() + ahead;

/** Does `work`, and tells if the server does not answer for long. */
async function impatiently(work) {
  let isSlow = false;
  const timer = setTimeout(() => {
    isSlow = true;
    connectionHas({ slow: connection.slow + 1 });
  }, SLOW);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    if (isSlow) connectionHas({ slow: connection.slow - 1 });
  }
}

/** Sends a request with the access token, and again with a new one if that is refused. */
async function authenticated(method, path, { headers = {}, body, signal, session = mine }) {
  let refused;
  for (let attempt = 1; ; attempt++) {
    const bearer = await session.token(refused);
    const all = bearer ? { ...headers, Authorization: `Bearer ${bearer}` } : headers;
    let answer;
    try {
      answer = await fetch(`/api/v1${path}`, { method, headers: all, body, signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof TypeError ? new Unreachable() : error;
    }
    // After the end of the session there is no token: the request is sent without one.
    if (answer.status !== 401 || !bearer || attempt === MAX_REFUSALS) return answer;
    refused = bearer;
  }
}

/** The problem of an error answer. */
async function problem(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body, retryAfter(answer));
}

/** Saves what the API answers as a file, with the name that the answer gives. */
export async function download(path) {
  const answer = await send("GET", path, {});
  if (!answer.ok) throw await problem(answer);
  const header = answer.headers.get("Content-Disposition") ?? "";
  const [, whole] = /filename\*=UTF-8''([^;]+)/.exec(header) ?? [];
  const [, plain] = /filename="([^"]+)"/.exec(header) ?? [];
  const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: whole ? decodeURIComponent(whole) : plain });
  link.click();
  // Some browsers read it only later.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A path with its query; parameters without a value are left out. */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** A part of the page cannot be loaded: there is no connection, or the server has a new version. */
export class NotLoaded extends Error {}

/** Loads a part of the page; `load` imports its module. */
export async function part(load) {
  try {
    return await impatiently(load);
  } catch (error) {
    // A module that cannot be fetched is a TypeError.
    throw error instanceof TypeError ? new NotLoaded(error.message, { cause: error }) : error;
  }
}

/**
 * Loads the whole document again, as soon as the server can be reached. After `NotLoaded`, nothing
 * less may help: a new version has other modules, and browsers may remember that a module failed.
 */
export async function startAgain(signal) {
  for (let attempt = 0; ; attempt++) {
    try {
      await fetch(location.href, { method: "HEAD", cache: "no-store", signal });
      return location.reload();
    } catch {
      signal.throwIfAborted();
      connectionIs(false);
      await pause(backOff(attempt), signal);
    }
  }
}
