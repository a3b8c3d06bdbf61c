// The whole story with @hey-api/openapi-ts: a function for each operation, and times as Dates.
import assert from "node:assert/strict";
import * as polls from "./polls/index.js";
import { type Client, createClient, createConfig } from "./polls/client/index.js";
import type {
  CastBallotConflictProblem,
  Explanation,
  QuestionInput,
  Problem,
  Question,
  TokenResponse,
} from "./polls/index.js";

const baseUrl = process.env["POLLS_URL"] ?? "http://127.0.0.1:8080/api/v1";
const anyone = createClient(createConfig({ baseUrl }));

/** The data of an answer that must have succeeded. */
function ok<T>(answer: { data: T | undefined; error: unknown; response?: Response }): NonNullable<T> {
  assert(answer.response?.ok && answer.data, JSON.stringify(answer.error));
  return answer.data;
}

function is(answer: { error?: Problem | undefined }, code: Problem["code"]): void {
  assert.equal(answer.error?.code, code);
  assert.equal(answer.error.type, `/problems/${code}`);
}

/** Somebody's client, which sends the access token where one is needed. */
class User {
  tokens: TokenResponse | undefined;
  readonly client: Client = createClient(
    createConfig({ baseUrl, auth: () => this.tokens?.access_token }),
  );

  async signIn(username: string, password: string): Promise<void> {
    const body = { grant_type: "password" as const, username, password };
    this.tokens = ok(await polls.issueToken({ client: anyone, body }));
  }

  async refresh(): Promise<void> {
    assert(this.tokens);
    const { refresh_token } = this.tokens;
    const body = { grant_type: "refresh_token" as const, refresh_token };
    this.tokens = ok(await polls.issueToken({ client: anyone, body }));
  }
}

/** Why there is no ballot, for people. The compiler sees to it that no code is forgotten. */
function whyNot(code: CastBallotConflictProblem["code"]): string {
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
function how(explanation: Explanation): string {
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
  const account = ok(
    await polls.createUser({ client: anyone, body: phone ? { ...body, phone } : body }),
  );
  assert(account.created_at instanceof Date);
  const user = new User();
  await user.signIn(phone ?? body.email, body.password);
  return user;
}

async function ask(user: User, more: Partial<QuestionInput> = {}): Promise<Question> {
  const choices = ["rust", "go", "python"].map((choice_text) => ({ choice_text }));
  const body = { question_text: "Which language?", choices, ...more };
  return ok(await polls.createQuestion({ client: user.client, body }));
}

function vote(user: User, question: Question, ...chosen: number[]) {
  const choice_ids = chosen.map((index) => question.choices[index]?.id ?? "");
  const path = { question_id: question.id };
  return polls.castBallot({ client: user.client, path, body: { choice_ids } });
}

async function voting(ada: User, bob: User): Promise<void> {
  const question = await ask(ada, { max_choices: 2 });
  const at = { client: ada.client, path: { question_id: question.id } };
  const first = await vote(ada, question, 0);
  assert.equal(first.response?.status, 201);
  assert.equal((await vote(ada, question, 0)).response?.status, 200);
  const changed = ok(await vote(ada, question, 1, 2));
  assert(changed.updated_at! > ok(first).cast_at!);
  await polls.withdrawBallot(at);
  is(await polls.getBallot(at), "not_found");

  ok(await vote(ada, question, 0));
  ok(await vote(bob, question, 0, 1));
  const closed = ok(await polls.closeQuestion(at));
  assert(closed.status === "closed" && closed.closed_at);
  const results = ok(await polls.getResults({ ...at, client: anyone }));
  assert.deepEqual(results.choices.map((choice) => choice.share), [1, 0.5, 0]);
  assert(results.is_final && results.ballot_count === 2);

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
    const path = { question_id: question.id };
    const results = ok(await polls.getResults({ client: anyone, path, query: { explain: true } }));
    assert.deepEqual(results.outcome.elected_choice_ids, [question.choices[0]?.id]);
    assert(results.explanation);
    assert.equal(how(results.explanation), expected);
  }
}

async function pages(ada: User): Promise<void> {
  for (let number = 0; number < 4; number++) await ask(ada);
  const seen = new Set<string>();
  let cursor: string | undefined;
  do {
    const query = { limit: 2, ...(cursor ? { cursor } : {}) };
    const page = ok(await polls.listQuestions({ client: anyone, query }));
    for (const question of page.data) seen.add(question.id);
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.equal(seen.size, 7);
}

async function problems(ada: User, bob: User): Promise<void> {
  const as = (user: User, question: Question) => ({
    client: user.client,
    path: { question_id: question.id },
  });
  const plain = await ask(ada);

  const choices = [{ choice_text: "" }, { choice_text: "go" }];
  const invalid = await polls.createQuestion({
    client: ada.client,
    body: { question_text: "", choices },
  });
  assert(invalid.error?.code === "invalid_fields");
  const pointers = invalid.error.errors.map((field) => field.pointer);
  assert.deepEqual(pointers.sort(), ["/choices/0/choice_text", "/question_text"]);

  is(await polls.listQuestions({ client: anyone, query: { cursor: "forged" } }), "malformed_request");
  is(await polls.getMe({ client: anyone }), "unauthenticated");
  is(await polls.updateQuestion({ ...as(bob, plain), body: { description: "mine" } }), "forbidden");
  const taken = { name: "x", email: "ada@example.org", password: "correct horse" };
  is(await polls.createUser({ client: anyone, body: taken }), "account_taken");

  const secret = await ask(ada, { results_visibility: "author" });
  assert.equal(ok(await polls.getQuestion(as(bob, secret))).ballot_count, undefined);
  is(await polls.getResults(as(bob, secret)), "results_hidden");
  const scheduled = await ask(ada, { opens_at: new Date(Date.now() + 3_600_000) });
  is(await vote(bob, scheduled, 0), "voting_not_open");
  const final = await ask(ada, { allow_change: false });
  ok(await vote(bob, final, 0));
  is(await vote(bob, final, 1), "already_voted");
  is(await polls.withdrawBallot(as(bob, final)), "ballot_final");
  is(await polls.updateQuestion({ ...as(ada, final), body: { question_text: "?" } }), "has_ballots");
  const headers = { "If-Match": '"99.nothing"' };
  is(await polls.deleteQuestion({ ...as(ada, plain), headers }), "stale");
  const path = { question_id: "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f" };
  is(await polls.getQuestion({ client: anyone, path }), "not_found");
}

async function signingIn(ada: User): Promise<void> {
  const sessions = ok(await polls.listSessions({ client: ada.client }));
  const current = sessions.data.find((session) => session.current);
  assert(current && current.expires_at > new Date());
  await polls.endSession({ client: ada.client, path: { session_id: current.id } });
  is(await polls.getMe({ client: ada.client }), "unauthenticated");

  const body = { grant_type: "password" as const, username: "ada@example.org", password: "wrong" };
  for (;;) {
    const { error, response } = await polls.issueToken({ client: anyone, body });
    assert(error);
    if ("error" in error) {
      assert.equal(error.error, "invalid_grant");
    } else {
      assert.equal(error.code, "rate_limited");
      assert(Number(response?.headers.get("Retry-After")) > 0);
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
console.log("the whole story, by @hey-api/openapi-ts");
