"""PostgreSQL and MariaDB for the tests: databases of this run on the machine's servers, and private servers.

The machine's servers are set by `PHONE_VERIFY_TEST_POSTGRESQL` and `PHONE_VERIFY_TEST_MYSQL`, as store URLs, or
found on the usual ports of the loopback. If none responds, a run starts private ones from the installed programs.
"""

from __future__ import annotations

import atexit
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pymysql.connections
import pytest
import sqlalchemy as sa

from phone_verify.stores.sql import SqlStore
from phone_verify.stores.sql.connections import Connections
from phone_verify.stores.sql.engine import engine_of
from tests.conftest import missing
from tests.servers import free_port

HOST = "127.0.0.1"
# Making ready for TLS, which no server here offers, would take longer than most tests of MariaDB.
pymysql.connections.SSL_ENABLED = False
KINDS = ("postgresql", "mysql")
#: For tests that run on each: the second server repeats what the first one does.
PARAMETERS = ("postgresql", pytest.param("mysql", marks=pytest.mark.slow))
_URLS = {
    "postgresql": os.environ.get("PHONE_VERIFY_TEST_POSTGRESQL", f"postgresql://postgres@{HOST}:5432/test"),
    "mysql": os.environ.get("PHONE_VERIFY_TEST_MYSQL", f"mysql://root@{HOST}:3306/test"),
}


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The store URL of an empty database, dropped at the end. Skips without a server and its programs."""
    home = _home(kind)
    name = f"phone_verify_test_{os.getpid()}_{secrets.token_hex(4)}"
    execute(home, f"CREATE DATABASE {name}")
    url = sa.make_url(home).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        for number in range(2):
            _engine(url, number).dispose()
        # Connections that a killed process left behind do not hold it.
        execute(home, f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")


def execute(url: str, *statements: str) -> list[sa.Row[tuple[object, ...]]]:
    """Run statements over a separate connection; return the rows of the last."""
    with _engine(url).connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return list(result) if result.returns_rows else []


def nest_loops(url: str) -> None:
    """Let PostgreSQL plan only nested loops, which read a query inside `IN` again for each row, as it may at any time.

    It holds for connections made later.
    """
    name = sa.make_url(url).database
    for setting in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize"):
        execute(url, f"ALTER DATABASE {name} SET enable_{setting} = off")


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Hold the locks of all rows of a table, by a transaction that has not ended."""
    with _engine(url).connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(f"SELECT * FROM {table} FOR UPDATE")
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")


def end(url: str, connection: int) -> None:
    """End a connection from the server's side, by its id there."""
    if url.startswith("mysql"):
        execute(url, f"KILL {connection}")
        return
    execute(url, f"SELECT pg_terminate_backend({connection})")
    while execute(url, f"SELECT 1 FROM pg_stat_activity WHERE pid = {connection}"):
        time.sleep(0.001)


def store(url: str, number: int = 0, **options: Any) -> SqlStore:
    """A new store on a database that has the tables; of those with one number all share connections."""
    made = SqlStore(_engine(url, number), create_tables=False, **options)
    connections = made._transactions.connections
    connections.own()
    weakref.finalize(made, _return_idle, connections, connections.engine.pool)
    return made


def _return_idle(connections: Connections, pool: sa.Pool) -> None:
    sa.event.remove(connections.engine, "checkout", connections._renew)
    for idle in connections._idle:
        if connections.engine.pool is not pool:
            idle.detach()  # so that `close` closes it, as the end of its engine did to the others
        idle.close()


@cache
def _engine(url: str, number: int = 0) -> sa.Engine:
    return engine_of(url)


@cache
def _home(kind: str) -> str:
    """Return the URL of the machine's server, or of a private one for the whole run."""
    try:
        execute(_URLS[kind], "SELECT 1")
    except sa.exc.OperationalError:
        stack = ExitStack()
        url = stack.enter_context(private(kind)).url
        atexit.register(stack.close)
        return url
    return _URLS[kind]


@contextmanager
def private(kind: str) -> Iterator[PrivateServer]:
    """A private server, stopped at the end. Skips if its programs are not installed."""
    with _own_folder() as folder:
        server: PrivateServer = {"postgresql": PrivatePostgresql, "mysql": PrivateMariadb}[kind](folder)
        server.start()
        with _stopped_at_the_end(server):
            yield server


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder of this process, removed at the end; pytest's are closed to the user that a server runs as.

    Not a `TemporaryDirectory`, which a forked child that ends removes as well.
    """
    owner, folder = os.getpid(), Path(tempfile.mkdtemp(prefix="phone_verify_server_"))
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder)


@contextmanager
def _stopped_at_the_end(server: PrivateServer) -> Iterator[None]:
    """Stop a server at the end, but not in a forked child that ends."""
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:
            server.stop()


class PrivateServer:
    """A server on a free port that a test may stop, freeze and kill."""

    kind: str
    #: The user that the server runs as if the tests run as root: servers refuse to run as root.
    user: str

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self._data = folder / "data"
        self._user = self.user if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it, again if needed, and wait until it responds."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), user=self._user, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                execute(self.url, "SELECT 1")
                return
            except sa.exc.OperationalError:
                assert time.monotonic() < deadline, f"{self.kind} did not start"
                time.sleep(0.05)

    def freeze(self) -> None:
        """Freeze it: connections, also new ones, stay open without a response."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it in the fast mode: running statements are aborted."""
        assert self._process is not None
        if self._process.poll() is None:
            self.wake()
            self._process.send_signal(signal.SIGTERM if self.kind == "mysql" else signal.SIGINT)
            self._process.wait(60)
        _engine(self.url).dispose()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        main = self._process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (main, *map(int, children)):
            os.kill(process, number)


class PrivatePostgresql(PrivateServer):
    kind, user = "postgresql", "postgres"

    def __init__(self, folder: Path) -> None:
        self._programs = _programs("initdb", "PostgreSQL", *sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:])
        super().__init__(folder)
        make = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(make, user=self._user, check=True, capture_output=True, timeout=120)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def command(self) -> list[str]:
        options = [f"port={self.port}", f"listen_addresses={HOST}", "unix_socket_directories=", "fsync=off"]
        return [str(self._programs / "postgres"), "-D", str(self._data), *(f"-c{option}" for option in options)]


class PrivateMariadb(PrivateServer):
    kind, user = "mysql", "mysql"

    def __init__(self, folder: Path) -> None:
        self._programs = _programs("mariadbd", "MariaDB", Path("/usr/sbin"))
        super().__init__(folder)
        make = [
            _programs("mariadb-install-db", "MariaDB") / "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run(make, user=self._user, check=True, capture_output=True, timeout=120)

    @property
    def url(self) -> str:
        return f"mysql://root@{HOST}:{self.port}/mysql"

    def command(self) -> list[str]:
        options = [
            f"--datadir={self._data}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={self.folder}/socket",
            "--character-set-server=utf8mb4",  # the default of distributions, and what Django asks for
        ]
        return [str(self._programs / "mariadbd"), "--no-defaults", *options, "--innodb-flush-log-at-trx-commit=0"]


class Pgbouncer(PrivateServer):
    """A pooler in transaction mode in front of a PostgreSQL server; further `settings` are its own."""

    kind, user = "pgbouncer", "postgres"

    def __init__(self, folder: Path, database: str, settings: Mapping[str, object]) -> None:
        self._programs = _programs("pgbouncer", "PgBouncer", Path("/usr/sbin"))
        super().__init__(folder)
        self._url = sa.make_url(database)
        server = {"host": self._url.host, "port": self._url.port or 5432, "user": self._url.username}
        if self._url.password:
            server["password"] = self._url.password
        options: dict[str, object] = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": 4,
            **settings,
        }
        lines = ["[databases]", "* = " + " ".join(f"{name}={value}" for name, value in server.items()), "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in options.items()]
        (folder / "pgbouncer.ini").write_text("\n".join(lines))

    @property
    def url(self) -> str:
        return self._url.set(port=self.port, host=HOST).render_as_string(hide_password=False)

    def command(self) -> list[str]:
        return [str(self._programs / "pgbouncer"), str(self.folder / "pgbouncer.ini")]


@contextmanager
def pooled(database: str, **settings: object) -> Iterator[Pgbouncer]:
    """A private PgBouncer in front of the database with this URL. Skips if it is not installed."""
    with _own_folder() as folder:
        pooler = Pgbouncer(folder, database, settings)
        pooler.start()
        with _stopped_at_the_end(pooler):
            yield pooler


def _programs(program: str, package: str, *others: Path) -> Path:
    """Return the folder of a server's programs; distributions keep some of them outside the path."""
    for folder in (*(Path(path) for path in os.get_exec_path()), *others):
        if os.access(folder / program, os.X_OK):
            return folder
    missing(f"{program} of {package}")
    raise AssertionError


class Wire:
    """A forwarder that can lose a reply: the server has executed the statement, and the client gets no result."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        #: The number of replies that pass; None for all.
        self.answers: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._port))
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if source is server and self.answers is not None:
                        if self.answers == 0:
                            self.answers = None
                            return
                        self.answers -= 1
                    if not data:
                        return
                    (server if source is client else client).sendall(data)

    def close(self) -> None:
        self._listener.close()
