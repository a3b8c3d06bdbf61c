"""From many measurements to medians, ratios, and whether the figures expected are met."""

import statistics

from .engines import ENGINES
from .measure import TITLES

# What is expected of each engine: SQLite, PostgreSQL, MariaDB.
EXPECTED = [
    ("hot ballots, 256 clients, to /healthz", ">=", (0.45, 0.30, 0.20)),
    ("hot ballots, 256 clients, to the fastest peer", ">=", (8, 9, 6)),
    ("hot instant_runoff ballots, 256 clients, to hot ballots", ">=", (0.7, 0.7, 0.7)),
    ("hot ballots of guests, 256 clients, to hot ballots", ">=", (0.8, 0.8, 0.8)),
    ("hot question read, 64 clients, to /healthz", ">=", (0.75, 0.60, 0.55)),
    ("hot question read, 64 clients, to the fastest peer", ">=", (2.5, 3, 6)),
    ("list of 20, 64 clients, to the fastest peer", ">=", (2, 2, 3)),
    ("p99 of hot ballots, 256 clients, to the fastest peer's", "<=", (0.3, 0.3, 0.3)),
    ("memory at 256 clients, MiB (reads, lists, ballots)", "<=", (64, 64, 64)),
    ("hot ballots with 10,000,000 stored, to an empty database", ">=", (0.7, 0.7, 0.7)),
    ("/healthz to a bare poem server, 64 clients", ">=", (0.9, 0.9, 0.9)),
]


class Results:
    """Medians by engine, contender, workload and number of clients."""

    def __init__(self):
        self.runs = {}

    def add(self, engine, contender, workload, clients, run):
        self.runs.setdefault((engine, contender, workload, clients), []).append(run)

    def median(self, engine, contender, workload, clients, figure="rate"):
        runs = self.runs.get((engine, contender, workload, clients), [])
        values = [run[figure] for run in runs if figure in run]
        return statistics.median(values) if values else None

    def most(self, engine, contender, clients, figure, sign_ins=False):
        """The most memory in any workload of so many clients, or only in sign-ins."""
        values = [
            run[figure]
            for (at, who, workload, count), runs in self.runs.items()
            for run in runs
            if (at, who, count) == (engine, contender, clients) and figure in run
            and (workload == "sign-in") == sign_ins
        ]
        return max(values) if values else None

    def contenders(self, engine):
        return list(dict.fromkeys(who for at, who, _, _ in self.runs if at == engine))

    def peers(self, engine):
        return [who for who in self.contenders(engine) if who not in ("polls", "hello", "pgbench")]

    def fastest_peer(self, engine, workload, clients):
        rates = {who: self.median(engine, who, workload, clients) for who in self.peers(engine)}
        rates = {who: rate for who, rate in rates.items() if rate}
        return max(rates, key=rates.get) if rates else None

    def to_json(self):
        return [
            {"engine": engine, "contender": who, "workload": workload, "clients": clients,
             "median": {
                 key: statistics.median(run[key] for run in runs if key in run)
                 for key in runs[0]
             },
             "runs": runs}
            for (engine, who, workload, clients), runs in self.runs.items()
        ]


def ratio(above, below):
    return above / below if above is not None and below else None


def figures(results, growth):
    """What is expected and what was found; `growth` is a growth run's outcome, or nothing."""
    rows = []
    for at, engine in enumerate(ENGINES):
        if engine not in {key[0] for key in results.runs}:
            continue

        def polls(workload, clients, figure="rate"):
            return results.median(engine, "polls", workload, clients, figure)

        def best(workload, clients, figure="rate"):
            peer = results.fastest_peer(engine, workload, clients)
            return results.median(engine, peer, workload, clients, figure) if peer else None

        grown = {
            point["x"]: point["rate"]
            for series in growth
            if series["engine"] == engine and series["grows"] == "ballots"
            and series["workload"] == "ballots"
            for point in series["points"]
        }
        found = [
            ratio(polls("ballots", 256), polls("healthz", 256)),
            ratio(polls("ballots", 256), best("ballots", 256)),
            ratio(polls("ranked", 256), polls("ballots", 256)),
            ratio(polls("guests", 256), polls("ballots", 256)),
            ratio(polls("read", 64), polls("healthz", 64)),
            ratio(polls("read", 64), best("read", 64)),
            ratio(polls("list", 64), best("list", 64)),
            ratio(polls("ballots", 256, "p99_ms"), best("ballots", 256, "p99_ms")),
            results.most(engine, "polls", 256, "rss_mib"),
            ratio(grown.get(10_000_000), grown.get(0)),
            ratio(polls("healthz", 64), results.median(engine, "hello", "healthz", 64)),
        ]
        for (title, sign, bounds), value in zip(EXPECTED, found):
            met = None
            if value is not None:
                met = value >= bounds[at] if sign == ">=" else value <= bounds[at]
            rows.append(
                {"figure": title, "engine": engine, "sign": sign, "expected": bounds[at],
                 "found": value, "met": met}
            )
    return rows


def show(results, rows):
    """The tables for the terminal, in Markdown."""
    lines = []
    for engine in ENGINES.values():
        contenders = results.contenders(engine.name)
        if not contenders:
            continue
        lines += ["", f"## {engine.title}: medians per second (to polls), p99", ""]
        lines.append("| workload | clients | " + " | ".join(contenders) + " |")
        lines.append("|---|---|" + "---|" * len(contenders))
        keys = dict.fromkeys(
            (workload, clients) for at, _, workload, clients in results.runs if at == engine.name
        )
        for workload, clients in keys:
            own = results.median(engine.name, "polls", workload, clients)
            cells = []
            for who in contenders:
                rate = results.median(engine.name, who, workload, clients)
                p99 = results.median(engine.name, who, workload, clients, "p99_ms")
                if rate is None:
                    cells.append("")
                    continue
                cell = f"{rate:,.0f}"
                if who != "polls" and own:
                    cell += f" ({rate / own:.2f})"
                cells.append(cell + (f", {p99:,.1f} ms" if p99 is not None else ""))
            lines.append(f"| {TITLES[workload]} | {clients} | " + " | ".join(cells) + " |")
        for sign_ins, what in ((False, "reads, lists and ballots"), (True, "sign-ins")):
            memory = [results.most(engine.name, who, 256, "pss_mib", sign_ins) for who in contenders]
            cells = [f"{value:,.0f} MiB" if value is not None else "" for value in memory]
            lines.append(f"| memory at most in {what} | 256 | " + " | ".join(cells) + " |")
        failed = {
            who: sum(run["failed"] for key, runs in results.runs.items() for run in runs
                     if key[:2] == (engine.name, who))
            for who in contenders
        }
        failed = [f"{who} {count:,}" for who, count in failed.items() if count]
        if failed:
            lines += ["", "Requests that failed, which count for nothing: " + ", ".join(failed)]
    lines += ["", "## Figures expected", "", "| figure | engine | expected | found | |", "|---|---|---|---|---|"]
    for row in rows:
        found = "not measured" if row["found"] is None else f"{row['found']:.2f}"
        met = {True: "met", False: "NOT MET", None: ""}[row["met"]]
        lines.append(
            f"| {row['figure']} | {ENGINES[row['engine']].title} "
            f"| {row['sign'].replace('>=', '≥').replace('<=', '≤')} {row['expected']} | {found} | {met} |"
        )
    return "\n".join(lines)
