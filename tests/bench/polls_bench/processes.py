"""Processes that end with the benchmark, and what memory they take."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "tests" / "bench"
BUILT = ROOT / "target" / "bench"


def stop_with(message):
    sys.exit(f"bench: {message}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def done(command, **more):
    """Runs a command to its end; gives what it printed."""
    run = subprocess.run([str(word) for word in command], text=True, capture_output=True, **more)
    if run.returncode:
        shown = " ".join(str(word) for word in command)[:300]
        stop_with(f"{shown} failed:\n{run.stdout[-4000:]}\n{run.stderr[-4000:]}")
    return run.stdout


def as_nobody(command):
    """PostgreSQL and MariaDB do not serve root."""
    command = [str(word) for word in command]
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


class Process:
    """A server, which is stopped when its block ends."""

    def __init__(self, name, command, log, env=None, cwd=None):
        self.name, self.log = name, Path(log)
        with open(log, "w") as out:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True,
            )

    def wait_until(self, is_ready, seconds=60):
        end = time.monotonic() + seconds
        while not is_ready():
            if self.child.poll() is not None or time.monotonic() > end:
                stop_with(f"{self.name} does not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def wait_for_page(self, url):
        def is_ready():
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    return answer.status == 200
            except OSError:
                return False

        self.wait_until(is_ready)

    def family(self):
        """Its process and all below it."""
        pids, waiting = [], [self.child.pid]
        while waiting:
            pid = waiting.pop()
            pids.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    waiting.extend(int(child) for child in children.split())
            except OSError:
                pass
        return pids

    def memory(self):
        """MiB in memory: of each process all (rss), and what they share counted once (pss)."""
        rss = pss = 0
        for pid in self.family():
            try:
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Rss:"):
                        rss += int(line.split()[1])
                    elif line.startswith("Pss:"):
                        pss += int(line.split()[1])
            except OSError:
                pass
        return rss / 1024, pss / 1024

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Memory:
    """The most memory that a process takes while the block runs."""

    def __init__(self, process):
        self.process, self.rss, self.pss = process, 0.0, 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while True:
            rss, pss = self.process.memory()
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
            if self.over.wait(0.5):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
