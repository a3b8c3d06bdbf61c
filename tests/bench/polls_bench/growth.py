"""How cost grows: with clients, questions, ballots and choices. One plot for each."""

import contextlib
import json
import shutil

from . import chart
from .contenders import Polls, questions_at
from .engines import ENGINES
from .measure import TITLES, load

PARTS = ["clients", "choices", "questions", "ballots"]
CLIENTS = [1, 4, 16, 64, 256, 1024]
CHOICES = [2, 5, 10, 20, 50, 100]
AT = 64

# More than vote in one measurement. Each has a question of its own.
VOTERS = 250_000

# For a word that every question has, and for one that few have.
SEARCHES = {
    "search, common word": "q=sample",
    "search, rare word": "q=7",
    "search, first to close": "q=sample&sort=closes_at",
    "search, rare and open": "q=7&status=open",
}


class Grower:
    """A server on one engine, and what is known of it."""

    def __init__(self, options, engine, polls, say):
        self.options, self.engine, self.polls, self.say = options, engine, polls, say
        self.seconds = options.seconds
        self.series = {}

    def note(self, grows, workload, x, run):
        self.series.setdefault((grows, workload), []).append(
            {"x": x, **{key: run[key] for key in ("rate", "p50_ms", "p99_ms", "rss_mib")}}
        )

    def seed(self, **amount):
        words = [word for key, value in amount.items() for word in (f"--{key}", value)]
        self.polls.run("seed", *words)

    def measure(self, grows, x, clients, workloads, choices=4):
        self.say(f"{self.polls.engine_title}: {grows} {x:,}")
        address, process = self.polls.address, self.polls.process
        common = [address, clients, self.seconds]
        for workload in workloads:
            if workload in SEARCHES:
                url = f"{address}/api/v1/questions?limit=20&{SEARCHES[workload]}"
                run = load(url, clients, self.seconds, "get", process=process)
            elif workload == "list":
                run = load(*common, "list", process=process)
            else:
                # The newest question is one that nobody has voted on.
                self.seed(users=1, questions=1, choices=choices)
                (question,) = questions_at(address, 1)
                options = ["read", "--question", question]
                if workload == "ballots":
                    options = ["vote", "--tokens", self.polls.tokens, "--question", question]
                run = load(*common, *options, process=process)
            self.note(grows, workload, x, run)

    def clients(self):
        for clients in CLIENTS:
            self.measure("clients", clients, clients, ["read", "list", "ballots"])

    def choices(self):
        for choices in CHOICES:
            self.measure("choices", choices, AT, ["read", "ballots"], choices)

    def questions(self):
        have = 0
        for target in powers(10, self.options.largest // 10):
            self.seed(users=10, questions=target - have)
            self.engine.settle(self.polls.url)
            have = target
            self.measure("questions", target, AT, ["read", "list", "ballots", *SEARCHES])

    def ballots(self):
        have = 0
        self.measure("ballots", 0, 256, ["ballots"])
        for target in powers(10, self.options.largest):
            missing = target - have
            questions = max(1, min(1000, missing // 100))
            users = -(-missing // questions)
            self.seed(users=users, questions=questions, ballots=missing)
            self.engine.settle(self.polls.url)
            have = target
            self.measure("ballots", target, 256, ["read", "list", "ballots"])


def powers(first, last):
    x = first
    while x <= last:
        yield x
        x *= 10


def run(options, folder, say):
    file = options.output / "growth.json"
    # What was measured before stays, but for what is measured again.
    series = json.loads(file.read_text())["series"] if file.exists() else []
    for name in options.engines:
        for part in options.parts:
            here = folder / f"{name}-{part}"
            here.mkdir(mode=0o755)
            with contextlib.ExitStack() as running:
                engine = running.enter_context(ENGINES[name](here))
                voters = min(VOTERS, options.users) if part != "clients" else options.users
                polls = running.enter_context(Polls(engine, here, 20, max(voters, 1024)))
                polls.engine_title = engine.title
                grower = Grower(options, engine, polls, say)
                getattr(grower, part)()
                say("recount")
                polls.check()
            shutil.rmtree(here, ignore_errors=True)
            found = [
                {"engine": name, "grows": grows, "workload": workload, "points": points}
                for (grows, workload), points in grower.series.items()
            ]
            show(found)
            series = [one for one in series if (one["engine"], one["grows"]) != (name, part)] + found
            file.write_text(json.dumps({"series": series}, indent=2) + "\n")
    for grows in dict.fromkeys(one["grows"] for one in series):
        for workload in dict.fromkeys(one["workload"] for one in series if one["grows"] == grows):
            draw(options.output, series, grows, workload)


def draw(folder, series, grows, workload):
    found = [one for one in series if (one["grows"], one["workload"]) == (grows, workload)]
    title = f"{TITLES.get(workload, workload)} per second, as {grows} grow"
    lines = [
        (ENGINES[one["engine"]].title, [(point["x"], point["rate"]) for point in one["points"]])
        for one in found
    ]
    name = workload.replace(", ", "-").replace(" ", "-")
    (folder / f"growth-{grows}-{name}.svg").write_text(chart.lines(title, grows, lines))


def show(series):
    for one in series:
        points = one["points"]
        print(f"\n{ENGINES[one['engine']].title}: {one['workload']}, as {one['grows']} grow")
        for point in points:
            print(
                f"  {point['x']:>12,}  {point['rate']:>10,.0f}/s  p50 {point['p50_ms']:.2f} ms  "
                f"p99 {point['p99_ms']:.2f} ms  {point['rss_mib']:.0f} MiB"
            )
