"""One measurement: a workload against a contender, by `polls load`."""

import json
import subprocess

from .contenders import POLLS
from .processes import HERE, Memory, done, stop_with

# How many users vote in one measurement of ballots over many questions, and on how many.
SPREAD_USERS = 2_000
SPREAD_QUESTIONS = 1_000

TITLES = {
    "healthz": "/healthz",
    "read": "hot question read",
    "list": "list of 20 questions",
    "ballots": "durable ballots, one hot question",
    "ranked": "durable ballots, one hot instant_runoff question",
    "guests": "durable ballots of guests, one hot question",
    "spread": "durable ballots over 1,000 questions",
    "sign-in": "sign-ins",
}
WORKLOADS = [name for name in TITLES if name != "healthz"]
# What no peer does.
OWN_WORKLOADS = ["ranked", "guests"]


def load(address, clients, seconds, *options, process=None):
    """Runs `polls load`; gives its report with the memory that the process took."""
    command = [POLLS, "load", address, *options, "-c", clients, "-d", f"{seconds}s", "--json"]
    command = [str(word) for word in command]
    if process:
        with Memory(process) as memory:
            run = subprocess.run(command, text=True, capture_output=True)
    else:
        run = subprocess.run(command, text=True, capture_output=True)
    if run.returncode:
        stop_with(f"{' '.join(command)[:300]} failed:\n{run.stderr[-4000:]}")
    report = json.loads(run.stdout)
    found = {
        "rate": report["requests_per_second"],
        "p50_ms": report["latency_ms"]["p50"],
        "p99_ms": report["latency_ms"]["p99"],
        "failed": report["failed"],
    }
    if process:
        found |= {"rss_mib": memory.rss, "pss_mib": memory.pss}
    if ballots := report.get("ballots"):
        # Only new and changed ballots count; of those answered 200 without a change, none.
        counts = ballots["stored"] + ballots["changed"]
        found["rate"] = counts / report["seconds"]
        found["repeated"] = ballots["repeated"]
        if report["exhausted"]:
            stop_with(f"at {address} every user has voted before the time was over: more --users")
    return found


class Turns:
    """Hands out questions and users that were not voted on, or have not voted, before.

    The first questions, which are the newest, are for what needs one untouched: reads, and then
    one for each measurement of hot ballots. The last are for the spread ballots.
    """

    def __init__(self, contender):
        self.contender = contender
        self.hot = 1
        self.slice = 0

    def next_hot(self):
        question = self.contender.questions[self.hot]
        self.hot += 1
        return question

    def next_slice(self):
        path = self.contender.slice(self.slice, SPREAD_USERS)
        self.slice += 1
        return path

    def run(self, workload, clients, seconds):
        contender = self.contender
        common = [contender.address, clients, seconds]
        more = {"process": contender.process}
        if workload == "healthz":
            return load(f"{contender.address}/healthz", clients, seconds, "get")
        if workload == "read":
            return load(*common, "read", "--question", contender.questions[0], **more)
        if workload == "list":
            return load(*common, "list", **more)
        if workload == "ballots":
            options = ["--tokens", contender.tokens, "--question", self.next_hot()]
            return load(*common, "vote", *options, **more)
        if workload == "ranked":
            options = ["--tokens", contender.tokens, "--voting-method", "instant_runoff"]
            return load(*common, "vote", *options, **more)
        if workload == "guests":
            options = ["--tokens", contender.guest_tokens, "--guests"]
            return load(*common, "vote", *options, **more)
        if workload == "spread":
            spread = contender.questions[-SPREAD_QUESTIONS:]
            named = [word for question in spread for word in ("--question", question)]
            return load(*common, "vote", "--tokens", self.next_slice(), *named, **more)
        # Whoever signs in waits for the password's hash, and at 256 clients for 255 others'.
        return load(*common, "sign-in", "--timeout", "60s", *contender.sign_in_options, **more)


class PgBench:
    """The SQL of a peer's ballot, sent by PostgreSQL's own tool: what the database alone can do."""

    SCRIPT = HERE / "peers" / "ballot.pgbench.sql"

    def __init__(self, engine, peer):
        self.engine, self.peer = engine, peer
        self.program = engine.programs / "pgbench"
        engine.run(
            peer.url,
            "CREATE TABLE voters AS SELECT row_number() OVER () AS number, id FROM users;"
            "CREATE UNIQUE INDEX ON voters (number); CREATE SEQUENCE voter; ANALYZE voters",
        )

    def run(self, question, clients, seconds):
        url = self.peer.url
        self.engine.run(url, "ALTER SEQUENCE voter RESTART")
        choice = self.peer.choice_of[question]
        out = done([
            self.program, "-n", "-M", "prepared", "-c", clients, "-j", 2, "-T", seconds,
            "-D", f"question={question}", "-D", f"choice={choice}", "-f", self.SCRIPT, url,
        ])
        count = f"SELECT ballot_count FROM questions WHERE id = '{question}'"
        ballots = int(self.engine.run(url, count))
        # Where not one transaction came to its end there is no such line.
        rates = [float(line.split()[2]) for line in out.splitlines() if line.startswith("tps")]
        if ballots >= self.peer.users:
            stop_with("pgbench ran out of voters: give more --peer-users")
        return {"rate": rates[0] if rates else 0.0, "failed": 0}
