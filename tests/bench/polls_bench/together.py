"""Several processes of one database, and three Galera nodes with processes on each."""

import contextlib
import json
import statistics

from .contenders import Axum, Data, Polls, build_rust, password_hash
from .engines import CLUSTERS
from .measure import TITLES, load

WORKLOADS = ["read", "ballots"]


class House:
    """The processes of a contender, each with the next node of the cluster."""

    def __init__(self, engine, contender):
        self.contender, self.nodes = contender, engine.nodes(contender.url)
        self.addresses, self.more = [contender.address], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.more:
            process.stop()

    def grow(self, size):
        while len(self.addresses) < size:
            node = self.nodes[len(self.addresses) % len(self.nodes)]
            address, process = self.contender.serve(node)
            self.addresses.append(address)
            self.more.append(process)

    def run(self, size, workload, question, clients, seconds):
        first, *others = self.addresses[:size]
        options = ["read" if workload == "read" else "vote", "--question", question]
        if workload == "ballots":
            options += ["--tokens", self.contender.tokens]
        options += [word for address in others for word in ("--also", address)]
        return load(first, clients, seconds, *options)


def run(options, folder, say):
    say("building the axum peer")
    build_rust()
    measured = {}
    names = [*options.engines, "galera"] if "mariadb" in options.engines else options.engines
    for name in names:
        here = folder / name
        here.mkdir(mode=0o755)
        with contextlib.ExitStack() as running:
            engine = running.enter_context(CLUSTERS[name](here))
            say(f"{engine.title}: making users and questions")
            sizes = [1, len(engine.nodes("")) if name == "galera" else 2]
            questions = 2 + options.rounds * len(options.clients) * len(sizes)
            polls = running.enter_context(Polls(engine, here, questions, options.users))
            data = Data(here, options.peer_users, questions, password_hash(polls))
            axum = running.enter_context(Axum(engine, here, data))
            houses = [running.enter_context(House(engine, one)) for one in (polls, axum)]
            for house in houses:
                house.grow(max(sizes))
            one_engine(options, say, engine, houses, sizes, measured)
            polls.check()
    finish(options, measured)


def one_engine(options, say, engine, houses, sizes, measured):
    fresh = {house: iter(house.contender.questions[1:]) for house in houses}
    for number in range(1, options.rounds + 1):
        for clients in options.clients:
            say(f"{engine.title}, round {number} of {options.rounds}, {clients} clients")
            for size in sizes:
                for workload in WORKLOADS:
                    for house in houses:
                        question = house.contender.questions[0]
                        if workload == "ballots":
                            question = next(fresh[house])
                        run = house.run(size, workload, question, clients, options.seconds)
                        key = (engine.name, house.contender.name, workload, clients, size)
                        measured.setdefault(key, []).append(run)


def finish(options, measured):
    median = {
        key: statistics.median(run["rate"] for run in runs) for key, runs in measured.items()
    }
    lines = [
        "| engine | processes | workload | clients | polls | to SQLite, 1 process | axum | to axum |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (engine, who, workload, clients, size), rate in median.items():
        if who != "polls":
            continue
        peer = median[engine, "axum", workload, clients, size]
        sqlite = median.get(("sqlite", "polls", workload, clients, 1))
        lines.append(
            f"| {CLUSTERS[engine].title} | {size} | {TITLES[workload]} | {clients} | {rate:,.0f} "
            f"| {f'{rate / sqlite:.2f}' if sqlite else ''} | {peer:,.0f} "
            f"| {f'{rate / peer:.1f}' if peer else ''} |"
        )
    table = "\n".join(lines)
    print(table)
    (options.output / "together.md").write_text(table + "\n")
    rows = [
        {"engine": engine, "contender": who, "workload": workload, "clients": clients,
         "processes": size, "rate": median[engine, who, workload, clients, size], "runs": runs}
        for (engine, who, workload, clients, size), runs in measured.items()
    ]
    (options.output / "together.json").write_text(json.dumps(rows, indent=2) + "\n")
