// Calls to the public API, and nothing but the public API.

import { backOff, pause } from "./dom.js";
import { retryAfter, token, Unreachable } from "./session.js";

export { Unreachable };

/** How long a call is tried again before it fails, in milliseconds. */
const PATIENCE = 60_000;

/** Dispatches `lost` while the server cannot be reached, and `back` once it answers again. */
export const connection = new EventTarget();
let lost = false;

export function connectionIs(well) {
  if (lost === !well) return;
  lost = !well;
  connection.dispatchEvent(new Event(lost ? "lost" : "back"));
}

/** What the server refuses, as problem+json tells it. */
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
 * Calls the API and gives the body, or nothing. Calls that may be repeated are, with longer and
 * longer pauses, until the server answers: `PUT`, `PATCH` and `DELETE` say what shall be, so doing
 * them twice does no harm; of a `POST` that must be said.
 */
export async function api(method, path, { body, signal, revision, repeatable = method !== "POST" } = {}) {
  const began = Date.now();
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (revision !== undefined) headers["If-Match"] = `"${revision}."`;
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await send(method, path, { headers, body: body && JSON.stringify(body), signal });
      connectionIs(true);
      // The first answer was lost: what should go is gone.
      if (answer.status === 404 && method === "DELETE" && attempt > 0) return undefined;
      if (answer.ok) return answer.status === 204 ? undefined : await answer.json();
      throw await problem(answer);
    } catch (error) {
      signal?.throwIfAborted();
      const safe = repeatable || ["overloaded", "shutting_down"].includes(error.code);
      const again = error instanceof Unreachable || [502, 503, 504].includes(error.status);
      if (error instanceof Unreachable) connectionIs(false);
      if (!again || !safe || Date.now() - began > PATIENCE) throw error;
      await pause(Math.max((error.after ?? 0) * 1000, backOff(attempt)), signal);
    }
  }
}

/** How many tokens may be refused in a row: on a slow way, one may be too old on arrival. */
const REFUSALS = 4;

/** Sends one request with whatever token there is, and again with a new one if need be. */
export async function send(method, path, { headers = {}, body, signal } = {}) {
  let refused;
  for (let attempt = 1; ; attempt++) {
    const bearer = await token(refused);
    const all = bearer ? { ...headers, Authorization: `Bearer ${bearer}` } : headers;
    let answer;
    try {
      answer = await fetch(`/api/v1${path}`, { method, headers: all, body, signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof TypeError ? new Unreachable() : error;
    }
    // Whose session is over gets no new token, and then goes on as nobody.
    if (answer.status !== 401 || !bearer || attempt === REFUSALS) return answer;
    refused = bearer;
  }
}

/** What an answer that is not OK says. */
export async function problem(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body, retryAfter(answer));
}

/** A path with its query; parameters without a value are left out. */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
