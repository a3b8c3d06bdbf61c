// The whole story with openapi-fetch: every call is typed by the paths of the OpenAPI document.
import assert from "node:assert/strict";
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./polls.js";

type Question = components["schemas"]["Question"];
type Problem = components["schemas"]["Problem"];
type Tokens = components["schemas"]["TokenResponse"];

const baseUrl = process.env["POLLS_URL"] ?? "http://127.0.0.1:8080/api/v1";
const anyone = createClient<paths>({ baseUrl });
const form = { "Content-Type": "application/x-www-form-urlencoded" };

/** The data of an answer that must have succeeded. */
function ok<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert(answer.response.ok, JSON.stringify(answer.error));
  return answer.data as T;
}

/** Somebody's client. It gets new tokens by itself where the access token has expired. */
class User {
  readonly api = createClient<paths>({ baseUrl });
  tokens: Tokens | undefined;

  constructor() {
    const authorize: Middleware = {
      onRequest: ({ request }) => {
        if (this.tokens) request.headers.set("Authorization", `Bearer ${this.tokens.access_token}`);
        return request;
      },
    };
    this.api.use(authorize);
  }

  async signIn(username: string, password: string): Promise<void> {
    const answer = await anyone.POST("/auth/token", {
      body: { grant_type: "password", username, password },
      headers: form,
    });
    this.tokens = ok(answer);
  }

  async refresh(): Promise<void> {
    assert(this.tokens);
    const { refresh_token } = this.tokens;
    const body = { grant_type: "refresh_token" as const, refresh_token };
    this.tokens = ok(await anyone.POST("/auth/token", { body, headers: form }));
  }
}

/** Why there is no ballot, for people. The compiler sees to it that no code is forgotten. */
function whyNot(code: components["schemas"]["CastBallotConflictProblem"]["code"]): string {
  switch (code) {
    case "voting_not_open":
      return "come back later";
    case "voting_closed":
      return "too late";
    case "already_voted":
      return "you have voted";
  }
}

/** How the winner has won, for people. Each kind of explanation has fields of its own. */
function how(explanation: components["schemas"]["Explanation"]): string {
  switch (explanation.kind) {
    case "rounds":
      return `round 1: ${explanation.rounds[0]?.tallies.map(({ votes }) => votes).join(", ")}`;
    case "pairs":
      return `pairs: ${explanation.pairs.map((pair) => `${pair.for}:${pair.against}`).join(", ")}`;
    case "points":
      return `points: ${explanation.totals.map(({ points }) => points).join(", ")}`;
    case "runoff":
      return `run-off: ${explanation.preferring.map(({ ballots }) => ballots).join(" against ")}`;
  }
}

async function register(name: string, phone?: string): Promise<User> {
  const body = { name, email: `${name}@example.org`, password: "correct horse battery" };
  const account = ok(await anyone.POST("/users", { body: phone ? { ...body, phone } : body }));
  assert.equal(account.role, "user");
  const user = new User();
  await user.signIn(phone ?? body.email, body.password);
  return user;
}

type QuestionInput = components["schemas"]["QuestionInput"];

async function ask(user: User, more: Partial<QuestionInput> = {}): Promise<Question> {
  const choices = ["rust", "go", "python"].map((choice_text) => ({ choice_text }));
  const body = { question_text: "Which language?", choices, ...more };
  return ok(await user.api.POST("/questions", { body }));
}

function vote(user: User, question: Question, ...chosen: number[]) {
  const choice_ids = chosen.map((index) => question.choices[index]?.id ?? "");
  const params = { path: { question_id: question.id } };
  return user.api.PUT("/questions/{question_id}/ballot", { params, body: { choice_ids } });
}

async function voting(ada: User, bob: User): Promise<void> {
  const question = await ask(ada, { max_choices: 2 });
  assert.equal(question.status, "open");
  assert.equal(question.description, undefined);
  const params = { path: { question_id: question.id } };

  const first = await vote(ada, question, 0);
  assert.equal(first.response.status, 201);
  assert.equal((await vote(ada, question, 0)).response.status, 200);
  const changed = ok(await vote(ada, question, 1, 2));
  assert.equal(changed.choice_ids?.length, 2);
  assert.equal(changed.results?.ballot_count, 1);
  assert(changed.updated_at! > first.data?.cast_at!);
  await ada.api.DELETE("/questions/{question_id}/ballot", { params });
  const none = await ada.api.GET("/questions/{question_id}/ballot", { params });
  assert.equal(none.error?.code, "not_found");

  ok(await vote(ada, question, 0));
  ok(await vote(bob, question, 0, 1));
  ok(await ada.api.POST("/questions/{question_id}/close", { params }));
  const results = ok(await anyone.GET("/questions/{question_id}/results", { params }));
  assert.equal(results.ballot_count, 2);
  assert.deepEqual(results.choices.map((choice) => choice.share), [1, 0.5, 0]);
  assert.deepEqual(results.leading_choice_ids, [question.choices[0]?.id]);
  assert(results.is_final);

  const late = await vote(bob, question, 2);
  assert(late.error?.code === "voting_closed");
  assert.equal(whyNot(late.error.code), "too late");
}

async function rankings(ada: User, bob: User): Promise<void> {
  for (const [method, expected] of [
    ["instant_runoff", "round 1: 2, 0, 0"],
    ["ranked_pairs", "pairs: 2:0, 2:0, 1:0"],
  ] as const) {
    const question = await ask(ada, { method });
    ok(await vote(ada, question, 2, 0));
    // The same choices in another order are another ranking.
    const changed = ok(await vote(ada, question, 0, 2));
    assert.deepEqual(changed.choice_ids, [0, 2].map((index) => question.choices[index]?.id));
    ok(await vote(bob, question, 0));
    const params = { path: { question_id: question.id }, query: { explain: true } };
    const { outcome, explanation } = ok(await anyone.GET("/questions/{question_id}/results", { params }));
    assert.deepEqual(outcome.elected_choice_ids, [question.choices[0]?.id]);
    assert(explanation);
    assert.equal(how(explanation), expected);
  }
}

async function pages(ada: User): Promise<void> {
  for (let number = 0; number < 4; number++) await ask(ada);
  const seen = new Set<string>();
  let cursor: string | undefined;
  do {
    const query = { limit: 2, sort: "created_at" as const, ...(cursor ? { cursor } : {}) };
    const page = ok(await anyone.GET("/questions", { params: { query } }));
    for (const question of page.data) seen.add(question.id);
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.equal(seen.size, 7);
}

async function problems(ada: User, bob: User): Promise<void> {
  const is = (answer: { error?: Problem }, code: Problem["code"]): void => {
    assert.equal(answer.error?.code, code);
    assert.equal(answer.error.type, `/problems/${code}`);
  };
  const at = (question: Question) => ({ params: { path: { question_id: question.id } } });
  const plain = await ask(ada);

  const choices = [{ choice_text: "" }, { choice_text: "go" }];
  const invalid = await ada.api.POST("/questions", { body: { question_text: "", choices } });
  assert(invalid.error?.code === "invalid_fields");
  const pointers = invalid.error.errors.map((field) => field.pointer);
  assert.deepEqual(pointers.sort(), ["/choices/0/choice_text", "/question_text"]);

  is(await anyone.GET("/questions", { params: { query: { cursor: "forged" } } }), "malformed_request");
  const anonymous = await anyone.POST("/questions", { body: { question_text: "x", choices: [] } });
  is(anonymous, "unauthenticated");
  assert.equal(anonymous.response.headers.get("WWW-Authenticate"), 'Bearer realm="polls"');
  const patch = { ...at(plain), body: { description: "mine now" } };
  is(await bob.api.PATCH("/questions/{question_id}", patch), "forbidden");
  const taken = { name: "x", email: "ada@example.org", password: "correct horse" };
  is(await anyone.POST("/users", { body: taken }), "account_taken");

  const secret = await ask(ada, { results_visibility: "author" });
  assert.equal(ok(await bob.api.GET("/questions/{question_id}", at(secret))).ballot_count, undefined);
  is(await bob.api.GET("/questions/{question_id}/results", at(secret)), "results_hidden");
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const scheduled = await ask(ada, { opens_at: later });
  is(await vote(bob, scheduled, 0), "voting_not_open");
  const final = await ask(ada, { allow_change: false });
  ok(await vote(bob, final, 0));
  is(await vote(bob, final, 1), "already_voted");
  is(await bob.api.DELETE("/questions/{question_id}/ballot", at(final)), "ballot_final");
  const rename = { ...at(final), body: { question_text: "Another?" } };
  is(await ada.api.PATCH("/questions/{question_id}", rename), "has_ballots");
  const stale = { path: at(plain).params.path, header: { "If-Match": '"99.nothing"' } };
  is(await ada.api.DELETE("/questions/{question_id}", { params: stale }), "stale");
  const gone = at({ ...plain, id: "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f" });
  is(await anyone.GET("/questions/{question_id}", gone), "not_found");
}

async function signingIn(ada: User): Promise<void> {
  const sessions = ok(await ada.api.GET("/auth/sessions"));
  const current = sessions.data.find((session) => session.current);
  assert(current);
  const params = { path: { session_id: current.id } };
  await ada.api.DELETE("/auth/sessions/{session_id}", { params });
  const me = await ada.api.GET("/users/me");
  assert.equal(me.error?.code, "unauthenticated");

  const body = { grant_type: "password" as const, username: "ada@example.org", password: "wrong" };
  for (;;) {
    const { error, response } = await anyone.POST("/auth/token", { body, headers: form });
    assert(error);
    if ("error" in error) {
      assert.equal(error.error, "invalid_grant");
    } else {
      assert.equal(error.code, "rate_limited");
      assert(Number(response.headers.get("Retry-After")) > 0);
      break;
    }
  }
}

const ada = await register("ada", "16666666661");
await ada.refresh();
const bob = await register("bob");
await voting(ada, bob);
await rankings(ada, bob);
await pages(ada);
await problems(ada, bob);
await signingIn(ada);
console.log("the whole story, by openapi-fetch");
