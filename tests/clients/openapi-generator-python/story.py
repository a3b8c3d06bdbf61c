"""The whole story with openapi-generator: pydantic models, and an exception for each failure."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, assert_never
from uuid import UUID

from polls import (
    ApiClient,
    ApiException,
    AuthApi,
    Ballot,
    BallotInput,
    BallotsApi,
    CastBallotConflictProblem,
    ChoiceText,
    Configuration,
    Explanation,
    GrantType,
    InvalidFieldsProblem,
    PairsExplanation,
    PointsExplanation,
    Question,
    QuestionInput,
    QuestionPatch,
    QuestionsApi,
    QuestionStatus,
    ResultsApi,
    ResultsVisibility,
    RoundsExplanation,
    RunoffExplanation,
    TokenResponse,
    UserInput,
    UsersApi,
    VotingMethod,
)

URL = os.environ.get("POLLS_URL", "http://127.0.0.1:8080/api/v1")


class User:
    """Somebody's client, which sends the access token where one may be sent."""

    def __init__(self, access_token: str | None = None) -> None:
        client = ApiClient(Configuration(host=URL, access_token=access_token))
        self.auth = AuthApi(client)
        self.users = UsersApi(client)
        self.questions = QuestionsApi(client)
        self.ballots = BallotsApi(client)
        self.results = ResultsApi(client)


anyone = User()


def failure(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The problem with which a call fails, as an object of its class."""
    try:
        call(*arguments, **named)
    except ApiException as failed:
        return failed.data
    raise AssertionError("the call succeeds")


def fails(code: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    problem = failure(call, *arguments, **named)
    assert problem.code == code and problem.type == f"/problems/{code}", problem


def sign_in(username: str, password: str) -> TokenResponse:
    return anyone.auth.issue_token(GrantType.PASSWORD, username=username, password=password)


def register(name: str, phone: str | None = None) -> User:
    email, password = f"{name}@example.org", "correct horse battery"
    anyone.users.create_user(UserInput(name=name, email=email, password=password, phone=phone))
    tokens = sign_in(phone or email, password)
    fresh = anyone.auth.issue_token(GrantType.REFRESH_TOKEN, refresh_token=tokens.refresh_token)
    return User(fresh.access_token)


def ask(user: User, **more: Any) -> Question:
    choices = [ChoiceText(choice_text=text) for text in ("rust", "go", "python")]
    new = QuestionInput(question_text="Which language?", choices=choices, **more)
    return user.questions.create_question(new)


def vote(user: User, question: Question, *chosen: int) -> Ballot:
    choice_ids = [question.choices[index].id for index in chosen]
    return user.ballots.cast_ballot(question.id, BallotInput(choice_ids=choice_ids))


def why_not(problem: CastBallotConflictProblem) -> str:
    """Why there is no ballot, for people."""
    match problem.code:
        case "voting_not_open":
            return "come back later"
        case "voting_closed":
            return "too late"
        case "already_voted":
            return "you have voted"
    raise AssertionError(problem)


def how(explanation: Explanation) -> str:
    """How the winner has won, for people. mypy sees to it that no kind is forgotten."""
    match explanation.actual_instance:
        case RoundsExplanation(rounds=[first, *_]):
            return f"round 1: {[round(tally.votes) for tally in first.tallies]}"
        case RoundsExplanation():
            return "no rounds"
        case PairsExplanation(pairs=pairs):
            return f"pairs: {[(pair.var_for, pair.against) for pair in pairs]}"
        case PointsExplanation(totals=totals):
            return f"points: {[total.points for total in totals]}"
        case RunoffExplanation(preferring=preferring):
            return f"run-off: {[finalist.ballots for finalist in preferring]}"
        case None:
            return "no explanation"
        case never:
            assert_never(never)


def voting(ada: User, bob: User) -> None:
    question = ask(ada, max_choices=2)
    assert question.status is QuestionStatus.OPEN
    assert question.description is None
    assert question.created_at <= datetime.now(timezone.utc)

    first = vote(ada, question, 0)
    assert vote(ada, question, 0).updated_at == first.updated_at
    changed = vote(ada, question, 1, 2)
    assert changed.updated_at and first.cast_at and changed.updated_at > first.cast_at
    ada.ballots.withdraw_ballot(question.id)
    fails("not_found", ada.ballots.get_ballot, question.id)

    vote(ada, question, 0)
    vote(bob, question, 0, 1)
    closed = ada.questions.close_question(question.id)
    assert isinstance(closed.closed_at, datetime)
    results = anyone.results.get_results(question.id)
    assert [choice.share for choice in results.choices] == [1, 0.5, 0]
    assert results.is_final and results.ballot_count == 2

    late = failure(vote, bob, question, 2)
    assert isinstance(late, CastBallotConflictProblem) and why_not(late) == "too late"


def rankings(ada: User, bob: User) -> None:
    for method, expected in (
        (VotingMethod.INSTANT_RUNOFF, "round 1: [2, 0, 0]"),
        (VotingMethod.RANKED_PAIRS, "pairs: [(2, 0), (2, 0), (1, 0)]"),
    ):
        question = ask(ada, method=method)
        vote(ada, question, 2, 0)
        # The same choices in another order are another ranking.
        changed = vote(ada, question, 0, 2)
        assert changed.choice_ids == [question.choices[0].id, question.choices[2].id]
        vote(bob, question, 0)
        results = anyone.results.get_results(question.id, explain=True)
        assert results.outcome.elected_choice_ids == [question.choices[0].id]
        assert results.explanation is not None
        assert how(results.explanation) == expected


def pages(ada: User) -> None:
    for _ in range(4):
        ask(ada)
    seen: set[UUID] = set()
    cursor: str | None = None
    while True:
        page = anyone.questions.list_questions(limit=2, cursor=cursor)
        seen.update(question.id for question in page.data)
        cursor = page.meta.next_cursor
        if cursor is None:
            break
    assert len(seen) == 7


def problems(ada: User, bob: User) -> None:
    plain = ask(ada)

    # `model_construct` does not check the limits, which the models otherwise do.
    choices = [ChoiceText.model_construct(choice_text=text) for text in ("", "go")]
    wrong = QuestionInput.model_construct(question_text="", choices=choices)
    invalid = failure(ada.questions.create_question, wrong)
    assert isinstance(invalid, InvalidFieldsProblem), invalid
    pointers = sorted(field.pointer for field in invalid.errors)
    assert pointers == ["/choices/0/choice_text", "/question_text"]

    fails("malformed_request", anyone.questions.list_questions, cursor="forged")
    fails("unauthenticated", anyone.users.get_me)
    mine = QuestionPatch(description="mine")
    fails("forbidden", bob.questions.update_question, plain.id, mine)
    taken = UserInput(name="x", email="ada@example.org", password="correct horse")
    fails("account_taken", anyone.users.create_user, taken)

    secret = ask(ada, results_visibility=ResultsVisibility.AUTHOR)
    assert bob.questions.get_question(secret.id).ballot_count is None
    fails("results_hidden", bob.results.get_results, secret.id)
    scheduled = ask(ada, opens_at=datetime.now(timezone.utc) + timedelta(hours=1))
    fails("voting_not_open", vote, bob, scheduled, 0)
    final = ask(ada, allow_change=False)
    vote(bob, final, 0)
    fails("already_voted", vote, bob, final, 1)
    fails("ballot_final", bob.ballots.withdraw_ballot, final.id)
    text = QuestionPatch(question_text="?")
    fails("has_ballots", ada.questions.update_question, final.id, text)
    fails("stale", ada.questions.delete_question, plain.id, if_match='"99.nothing"')
    nobodys = "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f"
    fails("not_found", anyone.questions.get_question, nobodys)


def signing_in(ada: User) -> None:
    current = next(one for one in ada.auth.list_sessions().data if one.current)
    assert current.expires_at > datetime.now(timezone.utc)
    ada.auth.end_session(current.id)
    fails("unauthenticated", ada.users.get_me)

    while True:
        try:
            sign_in("ada@example.org", "wrong")
        except ApiException as refused:
            if refused.status == 429:
                assert refused.headers and int(refused.headers["Retry-After"]) > 0
                break
            assert refused.data and refused.data.error == "invalid_grant", refused


ada = register("ada", "16666666661")
bob = register("bob")
voting(ada, bob)
rankings(ada, bob)
pages(ada)
problems(ada, bob)
signing_in(ada)
print("the whole story, by openapi-generator for Python")
