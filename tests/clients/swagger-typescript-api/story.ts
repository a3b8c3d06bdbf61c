// The whole story with swagger-typescript-api: one class with a method for each operation, which
// throws the answer where a call fails.
import assert from "node:assert/strict";
import {
  Api,
  type CastBallotConflictProblem,
  type Explanation,
  type GrantError,
  GrantType,
  type HttpResponse,
  type Problem,
  type Question,
  type QuestionInput,
  QuestionStatus,
  ResultsVisibility,
  type TokenResponse,
  VotingMethod,
} from "./polls.js";

const baseUrl = process.env["POLLS_URL"] ?? "http://127.0.0.1:8080/api/v1";
// Without `format`, problems of calls that answer with 204 would not be read.
const baseApiParams = { format: "json" } as const;
const anyone = new Api({ baseUrl, baseApiParams });

/** The answer of a call that must fail. */
async function failed(call: Promise<unknown>): Promise<HttpResponse<unknown, Problem>> {
  try {
    await call;
  } catch (answer) {
    return answer as HttpResponse<unknown, Problem>;
  }
  assert.fail("the call succeeds");
}

async function fails(call: Promise<unknown>, code: `${Problem["code"]}`): Promise<void> {
  const { error } = await failed(call);
  assert.equal(error.code, code);
  assert.equal(error.type, `/problems/${code}`);
}

/** Somebody's client, which sends the access token where one is needed. */
class User {
  tokens: TokenResponse | undefined;
  readonly api = new Api({
    baseUrl,
    baseApiParams: { ...baseApiParams, secure: true },
    securityWorker: () => ({ headers: { Authorization: `Bearer ${this.tokens?.access_token}` } }),
  });

  async signIn(username: string, password: string): Promise<void> {
    const { data } = await anyone.auth.issueToken({
      grant_type: GrantType.Password,
      username,
      password,
    });
    this.tokens = data;
  }

  async refresh(): Promise<void> {
    assert(this.tokens);
    const { refresh_token } = this.tokens;
    const grant_type = GrantType.RefreshToken;
    this.tokens = (await anyone.auth.issueToken({ grant_type, refresh_token })).data;
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
  const email = `${name}@example.org`, password = "correct horse battery";
  await anyone.users.createUser(phone ? { name, email, password, phone } : { name, email, password });
  const user = new User();
  await user.signIn(phone ?? email, password);
  return user;
}

async function ask(user: User, more: Partial<QuestionInput> = {}): Promise<Question> {
  const choices = ["rust", "go", "python"].map((choice_text) => ({ choice_text }));
  const question = { question_text: "Which language?", choices, ...more };
  return (await user.api.questions.createQuestion(question)).data;
}

function vote(user: User, question: Question, ...chosen: number[]) {
  const choice_ids = chosen.map((index) => question.choices[index]?.id ?? "");
  return user.api.questions.castBallot(question.id, { choice_ids });
}

async function voting(ada: User, bob: User): Promise<void> {
  const question = await ask(ada, { max_choices: 2 });
  const first = await vote(ada, question, 0);
  assert.equal(first.status, 201);
  assert.equal((await vote(ada, question, 0)).status, 200);
  const changed = await vote(ada, question, 1, 2);
  assert(changed.data.updated_at! > first.data.cast_at!);
  await ada.api.questions.withdrawBallot(question.id);
  await fails(ada.api.questions.getBallot(question.id), "not_found");

  await vote(ada, question, 0);
  await vote(bob, question, 0, 1);
  const closed = (await ada.api.questions.closeQuestion(question.id)).data;
  assert(closed.status === QuestionStatus.Closed && closed.closed_at);
  const results = (await anyone.questions.getResults(question.id)).data;
  assert.deepEqual(results.choices.map((choice) => choice.share), [1, 0.5, 0]);
  assert(results.is_final && results.ballot_count === 2);

  const late = await failed(vote(bob, question, 2));
  assert.equal(late.status, 409);
  assert.equal(whyNot(late.error.code as CastBallotConflictProblem["code"]), "too late");
}

async function rankings(ada: User, bob: User): Promise<void> {
  for (const [method, expected] of [
    [VotingMethod.InstantRunoff, "round 1: 2, 0, 0"],
    [VotingMethod.RankedPairs, "pairs: 2:0, 2:0, 1:0"],
  ] as const) {
    const question = await ask(ada, { method });
    await vote(ada, question, 2, 0);
    // The same choices in another order are another ranking.
    const changed = (await vote(ada, question, 0, 2)).data;
    assert.deepEqual(changed.choice_ids, [0, 2].map((index) => question.choices[index]?.id));
    await vote(bob, question, 0);
    const results = (await anyone.questions.getResults(question.id, { explain: true })).data;
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
    const page = (await anyone.questions.listQuestions(query)).data;
    for (const question of page.data) seen.add(question.id);
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.equal(seen.size, 7);
}

async function problems(ada: User, bob: User): Promise<void> {
  const plain = await ask(ada);

  const choices = [{ choice_text: "" }, { choice_text: "go" }];
  const invalid = await failed(ada.api.questions.createQuestion({ question_text: "", choices }));
  const pointers = invalid.error.errors?.map((field) => field.pointer);
  assert.deepEqual(pointers?.sort(), ["/choices/0/choice_text", "/question_text"]);

  await fails(anyone.questions.listQuestions({ cursor: "forged" }), "malformed_request");
  await fails(anyone.users.getMe(), "unauthenticated");
  const mine = { description: "mine" };
  await fails(bob.api.questions.updateQuestion(plain.id, mine), "forbidden");
  const taken = { name: "x", email: "ada@example.org", password: "correct horse" };
  await fails(anyone.users.createUser(taken), "account_taken");

  const secret = await ask(ada, { results_visibility: ResultsVisibility.Author });
  assert.equal((await bob.api.questions.getQuestion(secret.id)).data.ballot_count, undefined);
  await fails(bob.api.questions.getResults(secret.id), "results_hidden");
  const opens_at = new Date(Date.now() + 3_600_000).toISOString();
  await fails(vote(bob, await ask(ada, { opens_at }), 0), "voting_not_open");
  const final = await ask(ada, { allow_change: false });
  await vote(bob, final, 0);
  await fails(vote(bob, final, 1), "already_voted");
  await fails(bob.api.questions.withdrawBallot(final.id), "ballot_final");
  const text = { question_text: "?" };
  await fails(ada.api.questions.updateQuestion(final.id, text), "has_ballots");
  const headers = { "If-Match": '"99.nothing"' };
  await fails(ada.api.questions.deleteQuestion(plain.id, { headers }), "stale");
  await fails(anyone.questions.getQuestion("01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f"), "not_found");
}

async function signingIn(ada: User): Promise<void> {
  const sessions = (await ada.api.auth.listSessions()).data;
  const current = sessions.data.find((session) => session.current);
  assert(current && new Date(current.expires_at) > new Date());
  await ada.api.auth.endSession(current.id);
  await fails(ada.api.users.getMe(), "unauthenticated");

  const guess = { grant_type: GrantType.Password, username: "ada@example.org", password: "wrong" };
  for (;;) {
    const { status, error, headers } = await failed(anyone.auth.issueToken(guess));
    if (status === 429) {
      assert(Number(headers.get("Retry-After")) > 0);
      break;
    }
    assert.equal((error as unknown as GrantError).error, "invalid_grant");
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
console.log("the whole story, by swagger-typescript-api");
