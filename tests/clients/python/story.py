"""The whole story with openapi-python-client: answers are classes, problems too."""

import os
from datetime import datetime, timedelta, timezone
from typing import Any, assert_never
from uuid import UUID

import httpx

from polls import AuthenticatedClient, Client
from polls.api.auth import end_session, issue_token, list_sessions
from polls.api.ballots import cast_ballot, get_ballot, withdraw_ballot
from polls.api.questions import (
    close_question,
    create_question,
    delete_question,
    get_question,
    list_questions,
    update_question,
)
from polls.api.results import get_results
from polls.api.users import create_user, get_me
from polls.models import (
    Ballot,
    CastBallotConflictProblem,
    CastBallotConflictProblemCode,
    ChoiceText,
    GrantError,
    GrantErrorCode,
    GrantType,
    InvalidFieldsProblem,
    ListQuestionsSort,
    BallotInput,
    PairsExplanation,
    PointsExplanation,
    QuestionInput,
    UserInput,
    Question,
    QuestionPage,
    QuestionPatch,
    QuestionStatus,
    RateLimitedProblem,
    Results,
    ResultsVisibility,
    RoundsExplanation,
    RunoffExplanation,
    SessionPage,
    TokenRequest,
    TokenResponse,
    VotingMethod,
)
from polls.types import UNSET, Unset

URL = os.environ.get("POLLS_URL", "http://127.0.0.1:8080/api/v1")
anyone = Client(base_url=URL)
# The generated types require a token even if it is optional. This client sends none.
nobody = AuthenticatedClient(base_url=URL, token="").set_httpx_client(httpx.Client(base_url=URL))


def code(answer: Any) -> str:
    """The code of an answer that is one of the problems."""
    assert answer.type_ == f"/problems/{answer.code}", answer
    return str(answer.code)


def sign_in(username: str, password: str) -> TokenResponse:
    grant = TokenRequest(GrantType.PASSWORD, username, password)
    tokens = issue_token.sync(client=anyone, body=grant)
    assert isinstance(tokens, TokenResponse), tokens
    return tokens


def refresh(tokens: TokenResponse) -> TokenResponse:
    grant = TokenRequest(GrantType.REFRESH_TOKEN, refresh_token=tokens.refresh_token)
    fresh = issue_token.sync(client=anyone, body=grant)
    assert isinstance(fresh, TokenResponse), fresh
    return fresh


def register(name: str, phone: str | Unset = UNSET) -> AuthenticatedClient:
    email, password = f"{name}@example.org", "correct horse battery"
    user = UserInput(name=name, email=email, password=password, phone=phone)
    account = create_user.sync_detailed(client=anyone, body=user)
    assert account.status_code == 201, account
    tokens = refresh(sign_in(email if isinstance(phone, Unset) else phone, password))
    return AuthenticatedClient(base_url=URL, token=tokens.access_token)


def ask(user: AuthenticatedClient, **more: Any) -> Question:
    choices = [ChoiceText(text) for text in ("rust", "go", "python")]
    new = QuestionInput(question_text="Which language?", choices=choices, **more)
    question = create_question.sync(client=user, body=new)
    assert isinstance(question, Question), question
    return question


def vote(user: AuthenticatedClient, question: Question, *chosen: int) -> Any:
    choice_ids = [question.choices[index].id for index in chosen]
    return cast_ballot.sync(question.id, client=user, body=BallotInput(choice_ids))


def why_not(problem: CastBallotConflictProblem) -> str:
    """Why there is no ballot, for people. mypy sees to it that no code is forgotten."""
    match problem.code:
        case CastBallotConflictProblemCode.VOTING_NOT_OPEN:
            return "come back later"
        case CastBallotConflictProblemCode.VOTING_CLOSED:
            return "too late"
        case CastBallotConflictProblemCode.ALREADY_VOTED:
            return "you have voted"
        case never:
            assert_never(never)


def how(explanation: RoundsExplanation | PairsExplanation | PointsExplanation | RunoffExplanation) -> str:
    """How the winner has won, for people. mypy sees to it that no kind is forgotten."""
    match explanation:
        case RoundsExplanation(rounds=[first, *_]):
            return f"round 1: {[round(tally.votes) for tally in first.tallies]}"
        case RoundsExplanation():
            return "no rounds"
        case PairsExplanation(pairs=pairs):
            return f"pairs: {[(pair.for_, pair.against) for pair in pairs]}"
        case PointsExplanation(totals=totals):
            return f"points: {[total.points for total in totals]}"
        case RunoffExplanation(preferring=preferring):
            return f"run-off: {[finalist.ballots for finalist in preferring]}"
        case never:
            assert_never(never)


def voting(ada: AuthenticatedClient, bob: AuthenticatedClient) -> None:
    question = ask(ada, max_choices=2)
    assert question.status is QuestionStatus.OPEN
    assert isinstance(question.description, Unset)
    assert question.created_at <= datetime.now(timezone.utc)

    first = vote(ada, question, 0)
    assert isinstance(first, Ballot)
    again = vote(ada, question, 0)
    assert isinstance(again, Ballot) and again.updated_at == first.updated_at
    changed = vote(ada, question, 1, 2)
    assert isinstance(changed, Ballot) and changed.updated_at and first.cast_at
    assert changed.updated_at > first.cast_at
    withdrawn = withdraw_ballot.sync_detailed(question.id, client=ada)
    assert withdrawn.status_code == 204
    assert code(get_ballot.sync(question.id, client=ada)) == "not_found"

    assert isinstance(vote(ada, question, 0), Ballot)
    assert isinstance(vote(bob, question, 0, 1), Ballot)
    closed = close_question.sync(question.id, client=ada)
    assert isinstance(closed, Question) and isinstance(closed.closed_at, datetime)
    results = get_results.sync(question.id, client=nobody)
    assert isinstance(results, Results)
    assert [choice.share for choice in results.choices] == [1, 0.5, 0]
    assert results.is_final and results.ballot_count == 2

    late = vote(bob, question, 2)
    assert isinstance(late, CastBallotConflictProblem)
    assert why_not(late) == "too late"


def rankings(ada: AuthenticatedClient, bob: AuthenticatedClient) -> None:
    for method, expected in (
        (VotingMethod.INSTANT_RUNOFF, "round 1: [2, 0, 0]"),
        (VotingMethod.RANKED_PAIRS, "pairs: [(2, 0), (2, 0), (1, 0)]"),
    ):
        question = ask(ada, method=method)
        assert isinstance(vote(ada, question, 2, 0), Ballot)
        # The same choices in another order are another ranking.
        changed = vote(ada, question, 0, 2)
        assert isinstance(changed, Ballot)
        assert changed.choice_ids == [question.choices[0].id, question.choices[2].id]
        assert isinstance(vote(bob, question, 0), Ballot)
        results = get_results.sync(question.id, client=nobody, explain=True)
        assert isinstance(results, Results)
        assert results.outcome.elected_choice_ids == [question.choices[0].id]
        assert not isinstance(results.explanation, Unset)
        assert how(results.explanation) == expected


def pages(ada: AuthenticatedClient) -> None:
    for _ in range(4):
        ask(ada)
    seen: set[UUID] = set()
    cursor: str | Unset = UNSET
    while True:
        page = list_questions.sync(
            client=nobody, limit=2, sort=ListQuestionsSort.CREATED_AT_DESC, cursor=cursor
        )
        assert isinstance(page, QuestionPage), page
        seen.update(question.id for question in page.data)
        cursor = page.meta.next_cursor
        if isinstance(cursor, Unset):
            break
    assert len(seen) == 7


def problems(ada: AuthenticatedClient, bob: AuthenticatedClient) -> None:
    plain = ask(ada)
    new = QuestionInput(question_text="", choices=[ChoiceText(""), ChoiceText("go")])
    invalid = create_question.sync(client=ada, body=new)
    assert isinstance(invalid, InvalidFieldsProblem)
    pointers = sorted(field.pointer for field in invalid.errors)
    assert pointers == ["/choices/0/choice_text", "/question_text"]

    assert code(list_questions.sync(client=nobody, cursor="forged")) == "malformed_request"
    assert code(get_me.sync(client=nobody)) == "unauthenticated"
    patch = QuestionPatch(description="mine now")
    assert code(update_question.sync(plain.id, client=bob, body=patch)) == "forbidden"
    taken = UserInput(name="x", email="ada@example.org", password="correct horse")
    assert code(create_user.sync(client=anyone, body=taken)) == "account_taken"

    secret = ask(ada, results_visibility=ResultsVisibility.AUTHOR)
    seen = get_question.sync(secret.id, client=bob)
    assert isinstance(seen, Question) and isinstance(seen.ballot_count, Unset)
    assert code(get_results.sync(secret.id, client=bob)) == "results_hidden"
    scheduled = ask(ada, opens_at=datetime.now(timezone.utc) + timedelta(hours=1))
    assert code(vote(bob, scheduled, 0)) == "voting_not_open"
    final = ask(ada, allow_change=False)
    assert isinstance(vote(bob, final, 0), Ballot)
    assert code(vote(bob, final, 1)) == "already_voted"
    assert code(withdraw_ballot.sync(final.id, client=bob)) == "ballot_final"
    rename = QuestionPatch(question_text="Another?")
    assert code(update_question.sync(final.id, client=ada, body=rename)) == "has_ballots"
    stale = delete_question.sync(plain.id, client=ada, if_match='"99.nothing"')
    assert code(stale) == "stale"
    nowhere = UUID("01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f")
    assert code(get_question.sync(nowhere, client=nobody)) == "not_found"


def signing_in(ada: AuthenticatedClient) -> None:
    sessions = list_sessions.sync(client=ada)
    assert isinstance(sessions, SessionPage)
    [current] = [session for session in sessions.data if session.current]
    assert current.expires_at > datetime.now(timezone.utc)
    assert end_session.sync_detailed(current.id, client=ada).status_code == 204
    assert code(get_me.sync(client=ada)) == "unauthenticated"

    wrong = TokenRequest(GrantType.PASSWORD, "ada@example.org", "wrong")
    while True:
        answer = issue_token.sync_detailed(client=anyone, body=wrong)
        if isinstance(answer.parsed, RateLimitedProblem):
            assert int(answer.headers["Retry-After"]) > 0
            break
        assert isinstance(answer.parsed, GrantError), answer
        assert answer.parsed.error is GrantErrorCode.INVALID_GRANT


ada, bob = register("ada", "16666666661"), register("bob")
voting(ada, bob)
rankings(ada, bob)
pages(ada)
problems(ada, bob)
signing_in(ada)
print("the whole story, by openapi-python-client")
