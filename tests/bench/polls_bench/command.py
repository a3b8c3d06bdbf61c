"""The command line, and the order in which everything runs."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import chart, conformance, growth, together
from .contenders import ALL, Data, Hello, Polls, build_polls, build_rust, password_hash
from .engines import ENGINES
from .figures import Results, figures, show
from .measure import OWN_WORKLOADS, SPREAD_QUESTIONS, SPREAD_USERS, TITLES, WORKLOADS, PgBench, Turns
from .processes import BUILT, HERE


def main():
    options = read_options()
    if options.quick:
        options.rounds, options.seconds = 1, 1
        options.users, options.peer_users = 100_000, 30_000
        options.largest = min(options.largest, 10_000)
    started = time.monotonic()
    say("building the server")
    build_polls()
    options.output.mkdir(parents=True, exist_ok=True)
    # Readable by the account that serves the databases.
    folder = Path(tempfile.mkdtemp(prefix="polls-bench-", dir=options.data))
    folder.chmod(0o755)
    try:
        if options.growth:
            growth.run(options, folder, say)
        elif options.together:
            together.run(options, folder, say)
        else:
            compare(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"done in {(time.monotonic() - started) / 60:.0f} minutes; see {options.output}")


def names(known):
    """Reads names with commas between them."""

    def read(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return chosen

    return read


def read_options():
    description = (HERE / "run").read_text().split('"""')[1]
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one brief round of everything")
    parser.add_argument("--growth", action="store_true", help="how cost grows, instead of the peers")
    parser.add_argument("--together", action="store_true",
                        help="several processes of one database, and a cluster")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement; default 4")
    parser.add_argument("--engines", type=names(ENGINES), default=list(ENGINES), metavar="A,B")
    parser.add_argument("--workloads", type=names(WORKLOADS), default=WORKLOADS, metavar="A,B",
                        help=", ".join(WORKLOADS))
    parser.add_argument("--peers", type=names(ALL), default=list(ALL), metavar="A,B",
                        help=", ".join(ALL))
    parser.add_argument("--clients", type=lambda text: [int(one) for one in text.split(",")],
                        default=[64, 256], metavar="N,M")
    parser.add_argument("--users", type=int, default=400_000,
                        help="voters of polls: more than ballots in one measurement")
    parser.add_argument("--peer-users", type=int, default=100_000, help="voters of each peer")
    parser.add_argument("--parts", type=names(growth.PARTS), default=growth.PARTS, metavar="A,B",
                        help="with --growth: what grows; " + ", ".join(growth.PARTS))
    parser.add_argument("--largest", type=int, default=10_000_000,
                        help="with --growth: how many ballots at most; a tenth as many questions")
    parser.add_argument("--data", help="where the databases are meanwhile; default: the system's temporary folder")
    parser.add_argument("--output", type=Path, default=BUILT / "results")
    return parser.parse_args()


def say(words):
    print(f"{time.strftime('%H:%M:%S')}  {words}", file=sys.stderr, flush=True)


def compare(options, folder):
    peers = [ALL[name] for name in options.peers]
    peers = [peer for peer in peers if set(peer.engines) & set(options.engines)]
    say("building a bare poem server and the axum peer")
    build_rust()
    for peer in peers:
        say(f"building {peer.title}")
        peer.build()
    results = Results()
    measurements = options.rounds * len(options.clients)
    for name in options.engines:
        here = folder / name
        here.mkdir(mode=0o755)
        with contextlib.ExitStack() as running:
            engine = running.enter_context(ENGINES[name](here))
            say(f"{engine.title}: making users and questions")
            questions = SPREAD_QUESTIONS + 1 + measurements
            polls = running.enter_context(Polls(engine, here, questions, options.users))
            peer_users = max(options.peer_users, measurements * SPREAD_USERS)
            # The peers' hot questions serve pgbench too.
            data = Data(here, peer_users, questions + measurements, password_hash(polls))
            contenders = [polls]
            for peer in peers:
                if name in peer.engines:
                    contenders.append(running.enter_context(peer(engine, here, data)))
            hello = running.enter_context(Hello(here))
            conformance.check(contenders)
            one_engine(options, results, engine, contenders, hello)
            polls.check()
            del data
        shutil.rmtree(here, ignore_errors=True)
    finish(options, results)


def one_engine(options, results, engine, contenders, hello):
    turns = [Turns(contender) for contender in contenders]
    bench = None
    if engine.name == "postgres" and "ballots" in options.workloads:
        peer = next((one for one in contenders if one.is_peer), None)
        bench = peer and PgBench(engine, peer)
        spare = iter(peer.questions[-SPREAD_QUESTIONS - 1 :: -1]) if peer else None
    for number in range(1, options.rounds + 1):
        for clients in options.clients:
            for workload in ["healthz", *options.workloads]:
                say(f"{engine.title}, round {number} of {options.rounds}: {TITLES[workload]}, {clients} clients")
                if workload == "healthz":
                    run = turns[0].run(workload, clients, options.seconds)
                    results.add(engine.name, "polls", workload, clients, run)
                    run = Turns(hello).run(workload, clients, options.seconds)
                    results.add(engine.name, "hello", workload, clients, run)
                    continue
                for turn in turns[:1] if workload in OWN_WORKLOADS else turns:
                    run = turn.run(workload, clients, options.seconds)
                    results.add(engine.name, turn.contender.name, workload, clients, run)
                if bench and workload == "ballots":
                    run = bench.run(next(spare), clients, max(int(options.seconds), 1))
                    results.add(engine.name, "pgbench", workload, clients, run)


def machine():
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "")
    return {"system": platform.platform(), "processor": model, "cores": os.cpu_count()}


def finish(options, results):
    past = options.output / "growth.json"
    grown = json.loads(past.read_text())["series"] if past.exists() else []
    rows = figures(results, grown)
    tables = show(results, rows)
    print(tables)
    outcome = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
        "figures": rows,
        "results": results.to_json(),
    }
    (options.output / "benchmark.json").write_text(json.dumps(outcome, indent=2) + "\n")
    (options.output / "benchmark.md").write_text(tables.strip() + "\n")
    titles = {name: peer.title for name, peer in ALL.items()} | {
        "polls": "polls", "hello": "bare poem", "pgbench": "pgbench, the peers' SQL",
    }
    for engine in ENGINES.values():
        panels = []
        for workload in options.workloads:
            clients = max(options.clients) if workload in ("ballots", "ranked", "guests", "spread") else min(options.clients)
            rows = [
                (titles[who], results.median(engine.name, who, workload, clients), who == "polls")
                for who in results.contenders(engine.name)
            ]
            rows = [row for row in rows if row[1]]
            if rows:
                rows.sort(key=lambda row: -row[1])
                panels.append((f"{engine.title}: {TITLES[workload]}, {clients} clients", rows))
        if panels:
            (options.output / f"{engine.name}.svg").write_text(chart.bars(panels))
