// The session of an account, or of a guest, who votes without one; and those of invitations, one for
// each question. Access tokens stay in memory. Refresh tokens are in localStorage for all tabs; one tab
// at a time exchanges one.

import { read, write } from "./store.js";

const KEY = "polls.session";

/** What the keys of invitations begin with; the id of the question follows. */
const INVITED = "polls.invited.";

/**
 * Dispatches `change` when somebody signs in or out, here or in another tab, and when another tab has
 * made a guest.
 */
export const changes = new EventTarget();

/** No answer, or one that asks to retry later. */
export class Unreachable extends Error {
  constructor(after = 0) {
    super("unreachable");
    this.after = after;
  }
}

/** A session: that of who uses the browser, or that of an invitation. */
class Session {
  #access = null;
  #refreshing = null;

  constructor(key) {
    this.key = key;
  }

  /** What the browser keeps of it, or null. */
  get stored() {
    try {
      return JSON.parse(read(this.key) ?? "null");
    } catch {
      return null;
    }
  }

  /** Begins it with the tokens of an answer, and keeps `who` beside them. */
  begin(answer, who = {}) {
    this.#take(answer);
    write(this.key, JSON.stringify({ ...who, refresh_token: answer.refresh_token, id: subject(answer.access_token) }));
  }

  /** Ends it here and in other tabs. */
  forget() {
    this.#access = null;
    if (!this.stored) return;
    write(this.key, null);
    changes.dispatchEvent(new Event("change"));
  }

  /** Another tab has begun or ended it. */
  changedElsewhere() {
    this.#access = null;
    changes.dispatchEvent(new Event("change"));
  }

  /** A valid access token, or null. `refused` is one that the server has refused. */
  async token(refused) {
    if (!this.stored) return null;
    const access = this.#access;
    if (access && access.token !== refused && Date.now() < access.until) return access.token;
    this.#refreshing ??= exclusively(() => this.#refresh()).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refresh() {
    for (;;) {
      // Another tab may have exchanged it while this one waited.
      const session = this.stored;
      if (!session) return null;
      const answer = await grant({ grant_type: "refresh_token", refresh_token: session.refresh_token });
      const meanwhile = this.stored;
      if (answer.error) {
        if (meanwhile && meanwhile.refresh_token !== session.refresh_token) continue;
        this.forget();
        return null;
      }
      if (whoOf(meanwhile) !== whoOf(session)) return null;
      this.#take(answer);
      write(this.key, JSON.stringify({ ...session, refresh_token: answer.refresh_token }));
      return this.#access.token;
    }
  }

  #take({ access_token, expires_in }) {
    const lifetime = expires_in * 1000;
    this.#access = { token: access_token, until: Date.now() + lifetime - Math.min(10_000, lifetime / 4) };
  }
}

/** The session of who uses the browser. */
export const mine = new Session(KEY);

/** The sessions of invitations, by question. */
const invitations = new Map();

function ofInvitation(question) {
  if (!invitations.has(question)) invitations.set(question, new Session(`${INVITED}${question}`));
  return invitations.get(question);
}

/** Whether an invitation to the question was used in this browser. */
export const isInvitedTo = (question) => ofInvitation(question).stored !== null;

/** Who looks at a question and votes on it: the invitation to it, or else who uses the browser. */
export const viewerOf = (question) => (isInvitedTo(question) ? ofInvitation(question) : mine);

/** Uses the code of an invitation. Returns an OAuth error, or the id of its question. */
export async function acceptInvitation(code) {
  const answer = await grant({ grant_type: "urn:polls:grant:invitation", code });
  if (answer.error) return answer;
  ofInvitation(answer.question_id).begin(answer);
  return { question: answer.question_id };
}

/** Whether there is an account or a guest. */
export const hasSession = () => mine.stored !== null;

/** Whether somebody is signed in with an account. */
export const isSignedIn = () => hasSession() && !isGuest();

/** Whether somebody has voted here without an account. */
export const isGuest = () => Boolean(mine.stored?.guest);

/** The account's id. */
export const accountId = () => (isSignedIn() ? mine.stored.id : undefined);

/** The page to sign in or up at `path`, which leads back to where one is. */
export const withReturn = (path) => `${path}?next=${encodeURIComponent(location.pathname + location.search)}`;
export const loginPath = () => withReturn("/login");

/** Signs in. Returns an OAuth error, or nothing. */
export async function signIn(username, password) {
  const answer = await grant({ grant_type: "password", username, password });
  if (answer.error) return answer;
  mine.begin(answer);
  changes.dispatchEvent(new Event("change"));
}

/** Makes a guest of whoever has no session; `make` returns the tokens of one. */
export const becomeGuest = (make) => exclusively(async () => {
  // Another tab may have made one while this one waited.
  if (!hasSession()) mine.begin(await make(), { guest: true });
});

/** Ends the session, here, in other tabs and at the server. */
export function signOut() {
  const session = mine.stored;
  mine.forget();
  if (!session) return;
  const form = new URLSearchParams({ token: session.refresh_token });
  // The user is signed out here even if this request fails.
  fetch("/api/v1/auth/revoke", { method: "POST", body: form, keepalive: true }).catch(() => {});
}

/** Ends the session here and in other tabs. */
export const forget = () => mine.forget();

/** How long the next tab waits: localStorage reaches other tabs with a delay. */
const SETTLING = 200;

/** One tab at a time. Without Web Locks, the server accepts a refresh token twice for a while. */
function exclusively(work) {
  if (!navigator.locks) return work();
  return new Promise((resolve, reject) => {
    navigator.locks.request("polls.refresh", async () => {
      await work().then(resolve, reject);
      await new Promise((settled) => setTimeout(settled, SETTLING));
    });
  });
}

async function grant(fields) {
  let answer;
  try {
    answer = await fetch("/api/v1/auth/token", { method: "POST", body: new URLSearchParams(fields) });
  } catch {
    throw new Unreachable();
  }
  if (answer.status >= 500) throw new Unreachable(retryAfter(answer));
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 429) return { error: "rate_limited", after: retryAfter(answer) };
  return { error: body.error ?? "invalid_request" };
}

/** The seconds of `Retry-After`. */
export const retryAfter = (answer) => Number(answer.headers.get("Retry-After")) || 0;

/** Whose session it is. A guest that becomes an account keeps its id. */
const whoOf = (session) => session && `${session.guest ? "guest" : "account"} ${session.id}`;

/** The `sub` claim of a token, unverified: it is only compared. */
function subject(jwt) {
  const claims = jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(claims)).sub;
}

addEventListener("storage", (event) => {
  if (event.key?.startsWith(INVITED)) return ofInvitation(event.key.slice(INVITED.length)).changedElsewhere();
  if (event.key !== KEY && event.key !== null) return;
  const who = (text) => {
    try {
      return whoOf(JSON.parse(text));
    } catch {
      return null;
    }
  };
  // A new refresh token of the same account is no change.
  if (event.key === KEY && who(event.oldValue) === who(event.newValue)) return;
  mine.changedElsewhere();
});
