// The whole story with orval: a function for each operation, and zod schemas that check the answers.
import assert from "node:assert/strict";
import * as polls from "./polls.js";
import type { CastBallotConflictProblemAllOfCode, Explanation, Problem, Question, QuestionInput, TokenResponse } from "./polls.js";
import * as schemas from "./schemas.js";

type Answer = { status: number; data: unknown };
type Success<A extends Answer> = Extract<A, { status: 200 | 201 | 204 }>;

function succeeded<A extends Answer>(answer: A): answer is Success<A> {
  return answer.status < 300;
}

/** The data of an answer that must have succeeded. */
function ok<A extends Answer>(answer: A): Success<A>["data"] {
  assert(succeeded(answer), JSON.stringify(answer));
  return answer.data;
}

function is(answer: Answer, code: Problem["code"]): void {
  const problem = answer.data as Problem;
  assert.equal(problem.code, code);
  assert.equal(problem.type, `/problems/${code}`);
}

class User {
  tokens: TokenResponse | undefined;

  /** The options of a request that this user makes. */
  get token(): RequestInit {
    return { headers: { Authorization: `Bearer ${this.tokens?.access_token}` } };
  }

  async signIn(username: string, password: string): Promise<void> {
    this.tokens = ok(await polls.issueToken({ grant_type: "password", username, password }));
    schemas.issueTokenResponse.parse(this.tokens);
  }

  async refresh(): Promise<void> {
    assert(this.tokens);
    const { refresh_token } = this.tokens;
    this.tokens = ok(await polls.issueToken({ grant_type: "refresh_token", refresh_token }));
  }
}

/** Why there is no ballot, for people. The compiler sees to it that no code is forgotten. */
function whyNot(code: CastBallotConflictProblemAllOfCode): string {
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
  const email = `${name}@example.org`, password = "correct horse battery";
  ok(await polls.createUser(phone ? { name, email, password, phone } : { name, email, password }));
  const user = new User();
  await user.signIn(phone ?? email, password);
  return user;
}

async function ask(user: User, more: Partial<QuestionInput> = {}): Promise<Question> {
  const choices = ["rust", "go", "python"].map((choice_text) => ({ choice_text }));
  const body = { question_text: "Which language?", choices, ...more };
  schemas.createQuestionBody.parse(body);
  const question = ok(await polls.createQuestion(body, user.token));
  schemas.getQuestionResponse.parse(question);
  return question;
}

function vote(user: User, question: Question, ...chosen: number[]) {
  const choice_ids = chosen.map((index) => question.choices[index]?.id ?? "");
  return polls.castBallot(question.id, { choice_ids }, user.token);
}

async function voting(ada: User, bob: User): Promise<void> {
  const question = await ask(ada, { max_choices: 2 });
  const first = await vote(ada, question, 0);
  assert.equal(first.status, 201);
  schemas.castBallotResponse.parse(first.data);
  assert.equal((await vote(ada, question, 0)).status, 200);
  const changed = ok(await vote(ada, question, 1, 2));
  assert(changed.updated_at! > ok(first).cast_at!);
  ok(await polls.withdrawBallot(question.id, ada.token));
  is(await polls.getBallot(question.id, ada.token), "not_found");

  ok(await vote(ada, question, 0));
  ok(await vote(bob, question, 0, 1));
  const closed = ok(await polls.closeQuestion(question.id, ada.token));
  assert(closed.status === "closed" && closed.closed_at);
  const results = schemas.getResultsResponse.parse(ok(await polls.getResults(question.id)));
  assert.deepEqual(results.choices.map((choice) => choice.share), [1, 0.5, 0]);
  assert(results.is_final && results.ballot_count === 2);

  const late = await vote(bob, question, 2);
  assert(late.status === 409);
  assert.equal(whyNot(late.data.code), "too late");
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
    const results = ok(await polls.getResults(question.id, { explain: true }));
    assert.deepEqual(results.outcome.elected_choice_ids, [question.choices[0]?.id]);
    assert(results.explanation);
    assert.equal(how(results.explanation), expected);
    const checked = schemas.getResultsResponse.parse(results).explanation;
    assert(checked?.kind === (method === "ranked_pairs" ? "pairs" : "rounds"));
    assert.equal("rounds" in checked ? checked.rounds[0]?.tallies[0]?.votes : checked.pairs[0]?.for, 2);
  }
}

async function pages(ada: User): Promise<void> {
  for (let number = 0; number < 4; number++) await ask(ada);
  const seen = new Set<string>();
  let cursor: string | undefined;
  do {
    const page = ok(await polls.listQuestions({ limit: 2, ...(cursor ? { cursor } : {}) }));
    schemas.listQuestionsResponse.parse(page);
    for (const question of page.data) seen.add(question.id);
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.equal(seen.size, 7);
}

async function problems(ada: User, bob: User): Promise<void> {
  const plain = await ask(ada);

  const wrong = { question_text: "", choices: [{ choice_text: "" }, { choice_text: "go" }] };
  const invalid = await polls.createQuestion(wrong, ada.token);
  assert(invalid.status === 422);
  const pointers = invalid.data.errors.map((field) => field.pointer);
  assert.deepEqual(pointers.sort(), ["/choices/0/choice_text", "/question_text"]);

  is(await polls.listQuestions({ cursor: "forged" }), "malformed_request");
  is(await polls.getMe(), "unauthenticated");
  is(await polls.updateQuestion(plain.id, { description: "mine" }, bob.token), "forbidden");
  const taken = { name: "x", email: "ada@example.org", password: "correct horse" };
  is(await polls.createUser(taken), "account_taken");

  const secret = await ask(ada, { results_visibility: "author" });
  assert.equal(ok(await polls.getQuestion(secret.id, bob.token)).ballot_count, undefined);
  is(await polls.getResults(secret.id, {}, bob.token), "results_hidden");
  const opens_at = new Date(Date.now() + 3_600_000).toISOString();
  is(await vote(bob, await ask(ada, { opens_at }), 0), "voting_not_open");
  const final = await ask(ada, { allow_change: false });
  ok(await vote(bob, final, 0));
  is(await vote(bob, final, 1), "already_voted");
  is(await polls.withdrawBallot(final.id, bob.token), "ballot_final");
  is(await polls.updateQuestion(final.id, { question_text: "?" }, ada.token), "has_ballots");
  const headers = { ...ada.token.headers, "If-Match": '"99.nothing"' };
  is(await polls.deleteQuestion(plain.id, { headers }), "stale");
  is(await polls.getQuestion("01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f"), "not_found");
}

async function signingIn(ada: User): Promise<void> {
  const sessions = ok(await polls.listSessions({}, ada.token));
  const current = sessions.data.find((session) => session.current);
  assert(current && new Date(current.expires_at) > new Date());
  ok(await polls.endSession(current.id, ada.token));
  is(await polls.getMe(ada.token), "unauthenticated");

  const guess = { grant_type: "password", username: "ada@example.org", password: "wrong" } as const;
  for (;;) {
    const answer = await polls.issueToken(guess);
    if (answer.status === 429) {
      assert(Number(answer.headers.get("Retry-After")) > 0);
      break;
    }
    assert(answer.status === 400);
    assert.equal("error" in answer.data && answer.data.error, "invalid_grant");
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
console.log("the whole story, by orval and zod");
