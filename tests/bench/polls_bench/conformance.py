"""Whether a contender does the work that is measured: the same answers, equally correct."""

import json
import urllib.error
import urllib.request

from .processes import stop_with


def call(method, url, token=None, body=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def shape(value):
    """The keys and types of an answer."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def answers(contender):
    """The shapes of a contender's answers; stops where it answers wrongly."""
    base = f"{contender.address}/api/v1/questions"
    with open(contender.tokens) as tokens:
        token = tokens.readline().split()[-1]
    question = contender.questions[0]
    status, before = call("GET", f"{base}/{question}")
    first, second = (choice["id"] for choice in before["choices"][:2])
    _, other = call("GET", f"{base}/{contender.questions[1]}")
    ballot = f"{base}/{question}/ballot"

    def expect(what, found, expected):
        if found != expected:
            stop_with(f"{contender.name}: {what}: {found} instead of {expected}")

    expect("a question", status, 200)
    for bad in (None, token[:-8] + "AAAAAAAA"):
        expect("a ballot without a good token", call("PUT", ballot, bad, {"choice_ids": [first]})[0], 401)
    foreign = {"choice_ids": [other["choices"][0]["id"]]}
    refused = call("PUT", ballot, token, foreign)[0]
    if refused not in (400, 409, 422):
        stop_with(f"{contender.name}: a choice of another question: {refused}")
    expect("a first ballot", call("PUT", ballot, token, {"choice_ids": [first]})[0], 201)
    expect("the same again", call("PUT", ballot, token, {"choice_ids": [first]})[0], 200)
    status, cast = call("PUT", ballot, token, {"choice_ids": [second]})
    expect("another ballot", status, 200)
    _, after = call("GET", f"{base}/{question}")
    votes = [choice["votes"] for choice in after["choices"][:2]]
    expect("what is counted then", (after["ballot_count"], votes), (1, [0, 1]))
    _, page = call("GET", f"{base}?limit=20")
    expect("the length of a list", len(page["data"]), 20)
    page["meta"] = {}
    return {"question": shape(after), "ballot": shape(cast), "list": shape(page)}


def check(contenders):
    """Stops unless all answer alike."""
    expected = answers(contenders[0])
    for contender in contenders[1:]:
        found = answers(contender)
        for what, is_expected in expected.items():
            if found[what] != is_expected:
                stop_with(f"{contender.name}: another {what}:\n{found[what]}\ninstead of\n{is_expected}")
