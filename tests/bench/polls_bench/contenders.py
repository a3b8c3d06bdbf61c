"""Who is measured: the server and its peers, built, filled with data, and started."""

import base64
import hashlib
import hmac
import json
import os
import random
import shutil
import sqlite3
import time
import urllib.request
import uuid

from .processes import BUILT, HERE, ROOT, Process, done, free_port, stop_with

PEERS = HERE / "peers"
SECRET = "the benchmark's own key, which keeps nobody out of anything"
PASSWORD = "correct horse battery"
CHOICES = 4
POLLS = ROOT / "target" / "release" / "polls"
RUST = BUILT / "rust" / "release"

# How many accounts take turns in signing in.
SIGNERS = 64


def build_polls():
    done(["cargo", "build", "--release", "--locked"], cwd=ROOT)


def build_rust():
    manifest = PEERS / "rust" / "Cargo.toml"
    done(
        ["cargo", "build", "--release", "--locked", "--manifest-path", manifest],
        env={**os.environ, "CARGO_TARGET_DIR": str(BUILT / "rust")},
    )


def build_python(name):
    venv, requirements = BUILT / name, PEERS / name / "requirements.txt"
    stamp = venv / "requirements.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    shutil.rmtree(venv, ignore_errors=True)
    done(["python3", "-m", "venv", venv])
    done([venv / "bin" / "pip", "install", "--quiet", "--no-deps", "-r", requirements])
    shutil.copy(requirements, stamp)


def build_node(name):
    folder = BUILT / name
    folder.mkdir(parents=True, exist_ok=True)
    lock = PEERS / name / "package-lock.json"
    stamp = folder / "installed.json"
    fresh = not stamp.exists() or stamp.read_text() != lock.read_text()
    for path in (PEERS / name).iterdir():
        shutil.copy(path, folder)
    if fresh:
        done(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder)
        shutil.copy(lock, stamp)


def questions_at(address, count):
    """The newest questions' ids, newest first."""
    ids, cursor = [], ""
    while len(ids) < count:
        with urllib.request.urlopen(f"{address}/api/v1/questions?limit=100{cursor}") as answer:
            page = json.load(answer)
        ids += [question["id"] for question in page["data"]]
        if "next_cursor" not in page["meta"]:
            break
        cursor = "&cursor=" + page["meta"]["next_cursor"]
    return ids[:count]


class Contender:
    """A running server with its data: `address`, `questions` (ids), `tokens` (a file), `users`."""

    name = title = ""
    is_peer = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def slice(self, number, size):
        """A file with the tokens of some users only: those after the slices before."""
        path = self.folder / f"{self.name}.slice"
        lines = self.tokens.read_text().splitlines()
        begin = number * size
        if begin + size > len(lines):
            stop_with("too few users for so many rounds: give more --users")
        path.write_text("\n".join(lines[begin : begin + size]) + "\n")
        return path


# Every call is counted, but none is refused: all clients have one address, and few accounts.
UNLIMITED = [
    "http.max_connections_per_address=100000",
    "limits.reads_per_address=1000000000",
    "limits.writes_per_address=1000000000",
    "limits.ballots_per_account=1000000000",
    "limits.ballots_per_address=1000000000",
    "limits.sign_ins_per_account=1000000",
    "limits.sign_ins_per_address=1000000",
]


class Polls(Contender):
    name = title = "polls"
    is_peer = False

    def __init__(self, engine, folder, questions, users, database="polls"):
        self.folder = folder / f"polls-{engine.name}"
        self.folder.mkdir(exist_ok=True)
        self.users = users
        self.url = engine.database(database)
        self.flags = ["--set", f"database.url={self.url}"]
        amount = ["--users", users, "--guests", users, "--questions", questions, "--choices", CHOICES]
        self.password = self.run("seed", *amount).split()[-1]
        engine.settle(self.url)
        self.tokens = self.folder / "tokens"
        self.tokens.write_text(self.run("token", "--all", "--ttl", "1d"))
        self.guest_tokens = self.folder / "guest-tokens"
        self.guest_tokens.write_text(self.run("token", "--guests", "--ttl", "1d"))
        signers = self.folder / "signers"
        lines = self.tokens.read_text().splitlines()[:SIGNERS]
        signers.write_text("\n".join(lines) + "\n")
        self.sign_in_options = ["--tokens", signers, "--password", self.password]
        self.address, self.process = self.serve(self.url)
        self.questions = questions_at(self.address, questions)

    def serve(self, url):
        """Starts a process on a database; gives its address, too."""
        port = free_port()
        settings = [f"database.url={url}", "log.access=false", *UNLIMITED]
        flags = ["--port", port, *(word for one in settings for word in ("--set", one))]
        process = Process("polls", [POLLS, *flags], self.folder / f"log-{port}", cwd=self.folder)
        address = f"http://127.0.0.1:{port}"
        process.wait_for_page(f"{address}/readyz")
        return address, process

    def run(self, *words):
        return done([POLLS, *self.flags, *words], cwd=self.folder)

    def check(self):
        """Proves that every tally equals its ballots."""
        self.run("recount", "--check")


def password_hash(polls):
    """A hash as polls makes them, of PASSWORD."""
    folder = polls.folder / "hash"
    folder.mkdir()
    flags = ["--set", f"database.url=sqlite:{folder / 'hash.db'}"]
    create = ["user", "create", "--name", "Ada", "--email", "ada@example.org"]
    done([POLLS, *flags, *create], input=PASSWORD + "\n", cwd=folder)
    with sqlite3.connect(folder / "hash.db") as connection:
        return connection.execute("SELECT password_hash FROM users").fetchone()[0]


def jwt(user, expires):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"iss": "polls", "aud": "polls", "sub": user, "iat": expires - 86400, "exp": expires}
    head = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (head + b"." + part(hmac.digest(SECRET.encode(), head, hashlib.sha256))).decode()


class Data:
    """What all peers begin with."""

    def __init__(self, folder, users, questions, hashed):
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        # UUIDv7, in order.
        begin = time.time_ns() // 1_000_000 << 80 | 7 << 76 | 2 << 62

        def ids(count):
            return [
                str(uuid.UUID(int=begin | number << 30 | random.getrandbits(30)))
                for number in range(count)
            ]

        self.user_ids, self.question_ids = ids(users), ids(questions)
        self.users = [
            (user, f"User {number}", f"user{number}@example.org", hashed)
            for number, user in enumerate(self.user_ids)
        ]
        times = [f"{now}.{number % 1_000_000:06}Z" for number in range(questions)]
        self.questions = [
            (question, self.user_ids[number % users], f"Sample question {number}: which one?",
             None, 0, times[number], times[number])
            for number, question in enumerate(self.question_ids)
        ]
        choices = ids(questions * CHOICES)
        self.choices = [
            (choice, self.question_ids[number // CHOICES], f"Choice {number % CHOICES + 1}",
             number % CHOICES, 0)
            for number, choice in enumerate(choices)
        ]
        self.tokens = folder / "peer-tokens"
        expires = int(time.time()) + 86400
        self.tokens.write_text("".join(f"{user} {jwt(user, expires)}\n" for user in self.user_ids))

    def tables(self):
        return [
            ("users", ["id", "name", "email", "password_hash"], self.users),
            ("questions", ["id", "author_id", "question_text", "closed_at", "ballot_count",
                           "created_at", "updated_at"], self.questions),
            ("choices", ["id", "question_id", "choice_text", "position", "votes"], self.choices),
        ]


class Peer(Contender):
    """A service of peers/, on two cores as its users would run it."""

    engines = ()

    def __init__(self, engine, folder, data):
        self.folder, self.tokens, self.users = folder, data.tokens, len(data.user_ids)
        self.questions = list(reversed(data.question_ids))
        self.url = engine.database(self.name)
        engine.fill(self.url, data.tables())
        engine.settle(self.url)
        self.choice_of = {row[1]: row[0] for row in data.choices}
        self.address, self.process = self.serve(self.url)
        logins = [f"--login=user{number}@example.org" for number in range(SIGNERS)]
        self.sign_in_options = [*logins, "--password", PASSWORD]

    def serve(self, url):
        """Starts the service on a database; gives its address, too."""
        port = free_port()
        env = {
            "DATABASE_URL": url, "DATABASE": url.removeprefix("sqlite:"),
            "JWT_SECRET": SECRET, "PORT": str(port),
        }
        log = self.folder / f"{self.name}-{port}.log"
        process = Process(self.name, self.command(port), log, env, cwd=self.home())
        address = f"http://127.0.0.1:{port}"
        process.wait_for_page(f"{address}/healthz")
        return address, process

    def home(self):
        return PEERS / self.name


class Aiohttp(Peer):
    name, title, engines = "aiohttp", "aiohttp + aiomysql", ("mariadb",)

    @staticmethod
    def build():
        build_python("aiohttp")

    def command(self, port):
        worker = "aiohttp.GunicornUVLoopWebWorker"
        return [
            BUILT / "aiohttp" / "bin" / "gunicorn", "app:app", "--workers", 2,
            "--worker-class", worker, "--bind", f"127.0.0.1:{port}", "--keep-alive", 75,
        ]


class FastApi(Peer):
    name, title, engines = "fastapi", "FastAPI + asyncpg", ("postgres",)

    @staticmethod
    def build():
        build_python("fastapi")

    def command(self, port):
        return [
            BUILT / "fastapi" / "bin" / "uvicorn", "app:app", "--workers", 2,
            "--port", port, "--no-access-log", "--timeout-keep-alive", 75,
        ]


class Django(Peer):
    name, title, engines = "django", "Django REST framework", ("postgres",)

    @staticmethod
    def build():
        build_python("django")

    def command(self, port):
        return [
            BUILT / "django" / "bin" / "gunicorn", "wsgi:application", "--workers", 2,
            "--worker-class", "gthread", "--threads", 16, "--worker-connections", 1000,
            "--bind", f"127.0.0.1:{port}", "--keep-alive", 75,
        ]


class Fastify(Peer):
    name, title, engines = "fastify", "Fastify + better-sqlite3", ("sqlite",)

    @staticmethod
    def build():
        build_node("fastify")

    def command(self, port):
        return ["node", "server.js"]

    def home(self):
        return BUILT / "fastify"


class Axum(Peer):
    name, title, engines = "axum", "axum + sqlx", ("sqlite", "postgres", "mariadb")

    @staticmethod
    def build():
        build_rust()

    def command(self, port):
        return [RUST / "polls-peer-axum"]

    def home(self):
        return self.folder


class Hello(Contender):
    """A bare poem server."""

    name, title = "hello", "bare poem"

    def __init__(self, folder):
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.process = Process("hello", [RUST / "hello"], folder / "hello.log", {"PORT": str(port)})
        self.process.wait_for_page(f"{self.address}/healthz")


ALL = {peer.name: peer for peer in (Aiohttp, FastApi, Fastify, Django, Axum)}
