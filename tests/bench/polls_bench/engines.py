"""The databases, thrown away afterwards, with their default durability."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from .processes import HERE, Process, as_nobody, done, free_port, stop_with

SCHEMA = HERE / "peers" / "schema.sql"


def owned_folder(path):
    """A folder of the account that serves the database."""
    path.mkdir()
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")
    return path


class Engine:
    """A database server; `nodes` gives a database's URL on each of its nodes."""

    def nodes(self, url):
        return [url]

    def settle(self, url):
        """Has done at once what the database would do beside the measurements that follow."""


class Sqlite(Engine):
    name, title = "sqlite", "SQLite"
    types = {"id": "text", "id64": "text", "text": "text", "time": "text", "end": ""}

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def database(self, name):
        return f"sqlite:{self.folder / name}.db"

    def fill(self, url, tables):
        with sqlite3.connect(url.removeprefix("sqlite:")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA.read_text().format(**self.types))
            for table, columns, rows in tables:
                marks = ", ".join("?" * len(columns))
                names = ", ".join(columns)
                connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        connection.close()


class Postgres(Engine):
    name, title = "postgres", "PostgreSQL"
    types = {"id": "uuid", "id64": "char(64)", "text": "text", "time": "timestamptz", "end": ""}

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parts[-2]))
        if not programs:
            stop_with("PostgreSQL is not installed (apt-get install postgresql)")
        self.programs = programs[-1]

    def __enter__(self):
        data = owned_folder(self.folder / "postgres")
        initdb = [self.programs / "initdb", "-A", "trust", "-U", "polls", "-E", "UTF8", "-D", data]
        done(as_nobody([*initdb, "--locale=C"]), cwd="/")
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "max_connections": "600", "shared_buffers": "1GB",
        }
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [self.programs / "postgres", "-D", data, "-p", self.port, *flags]
        self.process = Process("PostgreSQL", as_nobody(command), self.folder / "postgres.log", cwd="/")
        probe = ["psql", "-qtA", f"{self.server}/postgres", "-c", "SELECT 1"]
        self.process.wait_until(
            lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0
        )
        return self

    def __exit__(self, *_):
        self.process.stop()

    @property
    def server(self):
        return f"postgres://polls@127.0.0.1:{self.port}"

    def run(self, url, sql):
        return done(["psql", "-qtA", "-v", "ON_ERROR_STOP=1", url], input=sql)

    def database(self, name):
        self.run(f"{self.server}/postgres", f"CREATE DATABASE {name}")
        return f"{self.server}/{name}"

    def fill(self, url, tables):
        self.run(url, SCHEMA.read_text().format(**self.types))
        for table, columns, rows in tables:
            lines = ("\t".join("\\N" if value is None else str(value) for value in row) for row in rows)
            copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN;\n"
            self.run(url, copy + "\n".join(lines) + "\n\\.\n")

    def settle(self, url):
        # Of a table that it is told to be empty, PostgreSQL would make plans for an empty one.
        filled = "SELECT relname FROM pg_stat_user_tables WHERE n_live_tup > 0"
        tables = ", ".join(self.run(url, filled).split())
        self.run(url, f"VACUUM (ANALYZE) {tables}")
        self.run(url, "CHECKPOINT")


class MariaDb(Engine):
    name, title = "mariadb", "MariaDB"
    types = {
        "id": "char(36) CHARACTER SET ascii", "id64": "char(64) CHARACTER SET ascii",
        "text": "varchar(255)", "time": "datetime(6)",
        "end": " CHARACTER SET utf8mb4",
    }

    def __init__(self, folder):
        self.folder, self.port, self.processes = folder, free_port(), []
        places = [shutil.which("mariadbd"), "/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]
        self.program = next((place for place in places if place and Path(place).exists()), None)
        if not self.program:
            stop_with("MariaDB is not installed (apt-get install mariadb-server)")

    def __enter__(self):
        self.start(self.port)
        return self

    def start(self, port, *flags):
        data = owned_folder(self.folder / f"mariadb-{port}")
        install = [
            "mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
            "--skip-test-db", f"--datadir={data}", f"--tmpdir={data}",
        ]
        done(as_nobody(install), cwd="/")
        command = [
            # Its own tmpdir: servers that start delete the temporary tables of others there.
            self.program, "--no-defaults", f"--datadir={data}", f"--tmpdir={data}", f"--port={port}",
            f"--socket={data}/socket", "--bind-address=127.0.0.1", "--max-connections=600",
            "--innodb-buffer-pool-size=1G", *flags,
        ]
        log = self.folder / f"mariadb-{port}.log"
        process = Process("MariaDB", as_nobody(command), log, cwd="/")
        self.processes.append(process)
        probe = [*self.client_at(port), "-e", "SELECT 1"]
        process.wait_until(
            lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0
        )

    def __exit__(self, *_):
        for process in self.processes:
            process.stop()

    def client_at(self, port):
        return ["mariadb", "--no-defaults", "--local-infile=1", "-h127.0.0.1", f"-P{port}", "-uroot"]

    @property
    def client(self):
        return self.client_at(self.port)

    def database(self, name):
        done([*self.client, "-e", f"CREATE DATABASE {name}"])
        return f"mariadb://root@127.0.0.1:{self.port}/{name}"

    def fill(self, url, tables):
        name = url.rsplit("/", 1)[1]
        done([*self.client, name], input=SCHEMA.read_text().format(**self.types))
        for table, columns, rows in tables:
            path = self.folder / f"{table}.txt"
            with open(path, "w") as out:
                for row in rows:
                    # A time as it is written everywhere, but without the zone.
                    fields = ("\\N" if value is None else str(value).removesuffix("Z") for value in row)
                    out.write("\t".join(fields) + "\n")
            load = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} ({', '.join(columns)})"
            done([*self.client, name, "-e", load])
            path.unlink()


class Galera(MariaDb):
    """Three nodes on one machine, which share its cores and its disk."""

    name, title = "galera", "MariaDB Galera, three nodes"
    library = Path("/usr/lib/galera/libgalera_smm.so")

    def __enter__(self):
        if not self.library.exists() or not shutil.which("rsync"):
            stop_with("Galera is not installed (apt-get install galera-4 rsync)")
        self.ports = [self.port, free_port(), free_port()]
        peers = []
        for port in self.ports:
            own, transfer, increment = free_port(), free_port(), free_port()
            options = (
                f"gmcast.listen_addr=tcp://127.0.0.1:{own};base_host=127.0.0.1;base_port={own};"
                f"ist.recv_addr=127.0.0.1:{increment}"
            )
            self.start(
                port, "--wsrep-on=ON", f"--wsrep-provider={self.library}",
                "--wsrep-cluster-name=bench", f"--wsrep-cluster-address=gcomm://{','.join(peers)}",
                "--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync",
                f"--wsrep-sst-receive-address=127.0.0.1:{transfer}",
                f"--wsrep-provider-options={options}", "--binlog-format=ROW",
                "--innodb-autoinc-lock-mode=2",
            )
            peers.append(f"127.0.0.1:{own}")
        return self

    def nodes(self, url):
        return [url.replace(f":{self.port}/", f":{port}/") for port in self.ports]


ENGINES = {engine.name: engine for engine in (Sqlite, Postgres, MariaDb)}
CLUSTERS = {**ENGINES, Galera.name: Galera}
