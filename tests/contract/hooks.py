"""What schemathesis has to know about polls: who calls, what exists, and what no schema can say.

It generates requests from openapi/polls.json and checks the answers. Here it gets an account of
the role that it plays; here valid requests get something to talk of now and then, such as a
password that is right; and here is argued, code by code, why a request that the schema allows
may be refused all the same. Whatever is refused for another reason fails.
"""

import atexit
import collections
import functools
import itertools
import json
import os
import subprocess
import threading
import urllib.parse

import requests
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi import checks

URL = os.environ["POLLS_URL"]
ROLE = os.environ["ROLE"]
PASSWORD = "correct horse battery"
INVITATION = "urn:polls:grant:invitation"

# --- Roles


class Account:
    """Somebody who has registered and signed in, or a guest."""

    numbers = itertools.count()
    lock = threading.Lock()

    def __init__(self, role):
        if role == "guest":
            self.use(answered(requests.post(f"{URL}/auth/guest")))
            return
        with Account.lock:
            self.email = f"{role}{next(Account.numbers)}@{ROLE}.example.org"
        new = {"name": role, "email": self.email, "password": PASSWORD}
        self.id = answered(requests.post(f"{URL}/users", json=new))["id"]
        if role == "admin":
            # As operators do it.
            command = [os.environ["POLLS"], "user", "promote", self.email]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.sign_in()

    def sign_in(self):
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        self.use(answered(requests.post(f"{URL}/auth/token", data=form)))

    def use(self, tokens):
        self.refresh_token = tokens["refresh_token"]
        self.headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    def works(self):
        me = requests.get(f"{URL}/users/me", headers=self.headers)
        if not me.ok:
            return False
        account = me.json()
        return (account["role"] == "admin", account["guest"]) == (ROLE == "admin", ROLE == "guest")

    def asks(self, **more):
        choices = [{"choice_text": text} for text in ("tea", "coffee", "water")]
        new = {"question_text": "Which?", "choices": choices, **more}
        return answered(requests.post(f"{URL}/questions", json=new, headers=self.headers))


def answered(response):
    assert response.ok, f"{response.request.url}: {response.status_code} {response.text}"
    return response.json()


# Operations that end the account or its sessions. Each call gets an account of its own.
ENDING = {"deleteMe", "deleteGuest", "endAllSessions", "endSession", "changePassword"}


@schemathesis.auth(refresh_interval=1)
class Bearer:
    """The token of the role's account; of a new one where the old one has come to an end."""

    account = None

    def get(self, case, context):
        if ROLE == "anonymous":
            return None
        if not (Bearer.account and Bearer.account.works()):
            Bearer.account = Account(ROLE)
        return Bearer.account

    def set(self, case, account, context):
        if account is None:
            return
        if operation(case) in ENDING:
            account = Account(ROLE)
        case.headers = {**(case.headers or {}), **account.headers}


# --- Existing objects


@functools.cache
def somebody():
    """An author whose questions anybody may come upon."""
    return Account("user")


def operation(case):
    return case.operation.definition.raw.get("operationId")


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


turns = collections.Counter()


# Where a body may be left out, null says the same. The document does not offer that: in most
# languages the type would be a burden.
OPTIONAL_BODIES = {"createGuest", "reopenQuestion"}


@schemathesis.hook
def filter_case(context, case):
    return case.body is not None or operation(case) not in OPTIONAL_BODIES


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every other valid request of some operations is about something that exists."""
    name = operation(case)
    ground = GROUND.get(name)
    if ground is None or not is_positive(case):
        return
    turns[name] += 1
    if turns[name] % 2:
        ground(case)


def bearer(case):
    """The headers of the account that the case is sent by."""
    authorization = (case.headers or {}).get("Authorization")
    return {"Authorization": authorization} if authorization else {}


# The kinds of questions, asked in turn.
KINDS = itertools.cycle([
    {},
    {"results_visibility": "after_vote", "max_choices": 2},
    {"allow_change": False},
    {"results_visibility": "author"},
    {"opens_at": "2100-01-01T00:00:00Z"},
    {"closed": True},
    {"electorate": "anyone", "ballots_per_address": 3},
    {"electorate": "invited"},
    {"ballot_secrecy": "public"},
])


def question(case):
    """A question of the caller's, or of somebody's where the role asks none."""
    author = Bearer.account if ROLE in ("author", "admin") and Bearer.account else somebody()
    kind = dict(next(KINDS))
    closed = kind.pop("closed", False)
    asked = author.asks(**kind)
    if closed:
        requests.post(f"{URL}/questions/{asked['id']}/close", headers=author.headers)
    case.path_parameters["question_id"] = asked["id"]
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = f'"{asked["revision"] + closed}"'
    return asked


def ground_new_user(case):
    if isinstance(case.body, dict):
        case.body["email"] = f"{next(Account.numbers)}@new.{ROLE}.example.org"
        case.body.pop("phone", None)


def ground_token(case):
    account = somebody()
    if not isinstance(case.body, dict):
        return
    if case.body.get("grant_type") == "password":
        case.body.update(username=account.email, password=PASSWORD)
    elif case.body.get("grant_type") == INVITATION:
        _, invitation = invites(account)
        case.body.update(code=invitation["code"])
    else:
        # Each can be used once.
        account.sign_in()
        case.body.update(refresh_token=account.refresh_token)


def ground_password(case):
    if isinstance(case.body, dict):
        case.body["current_password"] = PASSWORD


def ground_session(case):
    sessions = requests.get(f"{URL}/auth/sessions", headers=bearer(case))
    if sessions.ok:
        case.path_parameters["session_id"] = sessions.json()["data"][0]["id"]


def ground_ballot(case):
    """Sometimes it is not the first one."""
    chosen = [choice["id"] for choice in question(case)["choices"]]
    if turns["castBallot"] % 4 == 0:
        cast(case, chosen[1])
    case.body = {"choice_ids": chosen[:1]}


def ground_cast(case):
    cast(case, question(case)["choices"][0]["id"])


def cast(case, choice_id):
    address = f"{URL}/questions/{case.path_parameters['question_id']}/ballot"
    requests.put(address, json={"choice_ids": [choice_id]}, headers=bearer(case))


def ground_deleted(case):
    question(case)
    address = f"{URL}/questions/{case.path_parameters['question_id']}"
    requests.delete(address, headers=bearer(case))


def ground_choice(case):
    case.path_parameters["choice_id"] = question(case)["choices"][0]["id"]


def ground_invited(case):
    """A question for invited voters, with an invitation that is taken back."""
    author = Bearer.account if ROLE in ("author", "admin") and Bearer.account else somebody()
    case.path_parameters["question_id"], invitation = invites(author)
    if "invitation_id" in case.path_parameters:
        case.path_parameters["invitation_id"] = invitation["id"]
    elif operation(case) == "createInvitations":
        case.body = {"count": 2}


def invites(author):
    asked = author.asks(electorate="invited")
    address = f"{URL}/questions/{asked['id']}/invitations"
    invited = answered(requests.post(address, json={"count": 1}, headers=author.headers))
    return asked["id"], invited["data"][0]


def ground_public(case):
    """A question whose ballots everybody sees."""
    author = Bearer.account if ROLE in ("author", "admin") and Bearer.account else somebody()
    case.path_parameters["question_id"] = author.asks(ballot_secrecy="public")["id"]


def ground_user(case):
    case.path_parameters["user_id"] = Account("user").id
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = '"1"'


GROUND = {
    "issueToken": ground_token,
    "createUser": ground_new_user,
    "changePassword": ground_password,
    "endSession": ground_session,
    "getUser": ground_user,
    "updateUser": ground_user,
    "castBallot": ground_ballot,
    "getBallot": ground_cast,
    "withdrawBallot": ground_cast,
    "listBallots": ground_public,
    "listVoters": ground_public,
    "exportBallots": question,
    "getResults": question,
    "getQuestion": question,
    "updateQuestion": question,
    "closeQuestion": question,
    "reopenQuestion": question,
    "deleteQuestion": question,
    "restoreQuestion": ground_deleted,
    "listChoices": question,
    "addChoice": question,
    "createInvitations": ground_invited,
    "listInvitations": ground_invited,
    "takeBackInvitation": ground_invited,
    "getChoice": ground_choice,
    "updateChoice": ground_choice,
    "deleteChoice": ground_choice,
}

# --- Refusals that no schema can express

# Codes of problems, and why a request that fits the schema may get them.
REFUSALS = {
    "unauthenticated": "the role is anonymous, or the call needs an account",
    "forbidden": "the question belongs to another account, or the call is for accounts or admins",
    "not_eligible": "the question has another electorate",
    "results_hidden": "the author hides the results",
    "not_found": "the id is well-formed, but does not exist",
    "account_taken": "another account has this email address or phone number",
    "voting_not_open": "the question opens later",
    "voting_closed": "the question is closed",
    "already_voted": "ballots on it cannot be changed",
    "address_limit": "enough guests have voted from this address",
    "ballot_final": "ballots on it cannot be withdrawn",
    "has_ballots": "somebody has voted on it",
    "voting_open": "it is shown after the close",
    "reopened": "the question was reopened",
    "too_few_ballots": "fewer than ten people have voted",
    "ballots_not_public": "the question keeps its ballots secret",
    "format_unavailable": "the format has no room for such ballots",
    "lot_drawn": "a lot has decided the result",
    "no_invitations": "the question is not for invited voters",
    "invitation_final": "the invitation was used",
    "last_admin": "no admin would be left",
    "mail_not_configured": "the server sends no mail",
    "email_unverified": "the account's own address is not verified",
    "stale": "`If-Match` names another revision",
}

# Codes of fields in `invalid_fields`, and why a value that fits its schema may get them.
FIELDS = {
    "common_password": "no schema can list all common passwords",
    "contains_account": "it depends on other fields",
    "choice": "the id does not belong to a choice of this question",
    "conflict": "it contradicts another field, or a guest has no role",
    "control_character": "control characters are refused; patterns for that are not portable",
    "email": "the pattern checks only a part of the rules for addresses",
    "invisible": "text needs a visible character; patterns for that are not portable",
    "length": "counted after surrounding white space is removed",
    "method": "it depends on the voting method of the question",
    "open_direction": "a change of the writing direction must be closed; no pattern can count that",
    "order": "the question would close before it opens",
    "past": "the time is over",
    "phone": "no pattern can express the numbering plans of all countries",
    "range": "the question has fewer choices, or the year is 0",
    "rule": "it depends on another field",
    "unique": "another choice has the same text",
    "wrong": "the password is not the account's",
}

# The same for the fields of one operation only.
FIELDS_OF = {
    "castBallot": {"required": "the voting method of the question decides which field a ballot has"},
    "createInvitations": {"required": "either `invitations` or `count` is needed"},
}


class Unargued(Failure):
    """A valid request was refused for a reason that is not listed above."""

    __slots__ = ()


def repeats_a_parameter(case, response):
    """Whether a form repeats a parameter, which RFC 6749, section 3.2, forbids, even if unknown."""
    if case.media_type != "application/x-www-form-urlencoded":
        return False
    body = response.request.body or ""
    text = body.decode() if isinstance(body, bytes) else body
    names = [name for name, _ in urllib.parse.parse_qsl(text, keep_blank_values=True)]
    return len(set(names)) < len(names)


GRANTS = {
    "password": {"username", "password"},
    "refresh_token": {"refresh_token"},
    INVITATION: {"code"},
}


@schemathesis.check
def valid_requests_are_refused_for_a_reason(context, response, case):
    """Replaces positive_data_acceptance, which checks only statuses."""
    if not is_positive(case) or response.status_code < 400:
        return
    problem = response.json()
    if response.status_code == 400 and repeats_a_parameter(case, response):
        return
    if operation(case) == "issueToken" and response.status_code == 400:
        form = case.body if isinstance(case.body, dict) else {}
        # The form has the fields of all grants, and no schema says which grant needs which.
        lacks = GRANTS[form["grant_type"]] - {name for name in form if form[name]}
        reason = problem["error"] == ("invalid_request" if lacks else "invalid_grant")
    elif problem["code"] == "invalid_fields":
        fields = {**FIELDS, **FIELDS_OF.get(operation(case), {})}
        reason = all(field["code"] in fields for field in problem["errors"])
    elif problem["code"] == "malformed_request":
        # Cursors are opaque: generated ones are refused.
        reason = "cursor" in (case.query or {}) and "cursor" in problem["detail"]
    else:
        reason = problem["code"] in REFUSALS
    if not reason:
        raise Unargued(
            operation=case.operation.label,
            title="A valid request was refused",
            message=f"{response.status_code}: {problem}",
        )


@schemathesis.check
def what_is_deleted_is_gone(context, response, case):
    """use_after_free, except for questions: authors and admins can still read deleted ones."""
    try:
        checks.use_after_free(context, response, case)
    except checks.UseAfterFree as failure:
        deleted = failure.free.split("?")[0].split("/")
        if deleted[-2] != "questions":
            raise


@schemathesis.check
def what_is_created_is_there(context, response, case):
    """ensure_resource_availability, except for ballots: a new question has no ballot yet."""
    if operation(case) not in ("getBallot", "withdrawBallot"):
        checks.ensure_resource_availability(context, response, case)


# --- Results

statuses = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    # Requests with a changed method and the like do not count for the operation.
    if response.request.method == case.operation.method.upper():
        statuses[operation(case)][response.status_code] += 1


@atexit.register
def report():
    with open(os.environ["STATUSES"], "w") as file:
        json.dump(statuses, file)
