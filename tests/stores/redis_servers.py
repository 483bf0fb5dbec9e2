"""Redis servers for the tests, on free ports of the loopback: alone, with replica and Sentinel, as a Cluster."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import missing

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a free port whose port plus ten thousand, for the Cluster bus, is free too.

    The system gives neither to a connection: that would take it before the server listens.
    """
    while True:
        port = random.randrange(12000, 22000)
        with suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((HOST, port))
            other.bind((HOST, port + 10000))
            return port


def until(done: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(redis.RedisError):
            if done():
                return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {seconds} seconds")


class RedisServer:
    """One `redis-server` with a separate folder. By default it has no persistence."""

    def __init__(self, folder: Path, *options: str, port: int | None = None, sentinel_of: int | None = None) -> None:
        if shutil.which("redis-server") is None:
            missing("redis-server")
        self.folder, self.port = folder, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._file: list[str] = []
        self._options = ["--save", "", *options]
        if sentinel_of is not None:
            file = folder / "sentinel.conf"
            file.write_text(
                f"sentinel monitor phones {HOST} {sentinel_of} 1\n"
                "sentinel down-after-milliseconds phones 500\n"
                "sentinel failover-timeout phones 2000\n"
            )
            self._file, self._options = [str(file)], ["--sentinel"]

    def start(self, *more: str, wait: bool = True) -> RedisServer:
        """Start it, again if needed, and wait until it responds."""
        command = ["redis-server", *self._file, "--port", str(self.port), "--bind", HOST, "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen([*command, *self._options, *more], stdout=output, stderr=output)
        if wait:
            with self.client() as client:
                until(client.ping, "the start of redis-server")
        return self

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def freeze(self) -> None:
        """Freeze it: connections stay open without a response."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it, frozen or not."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()

    def client(self, **options: Any) -> Any:
        """A client that waits for nothing by itself."""
        return redis.Redis(host=HOST, port=self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0), **options)

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"


@contextmanager
def running(server: RedisServer) -> Iterator[RedisServer]:
    """This server, started, and stopped at the end."""
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def cluster(folder: Path) -> Iterator[list[RedisServer]]:
    """Three nodes that share the slots."""
    if shutil.which("redis-cli") is None:
        missing("redis-cli")
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "no")
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(RedisServer(folder / str(n), *options))) for n in range(3)]
        places = [f"{HOST}:{node.port}" for node in nodes]
        command = ["redis-cli", "--cluster", "create", *places, "--cluster-yes"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        for node in nodes:
            with node.client() as client:
                until(lambda: client.cluster("info")["cluster_state"] == "ok", "the Cluster")
        yield nodes


@contextmanager
def sentinel(folder: Path) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A primary, its replica, and a Sentinel that alone decides: half a second without response causes a failover."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(RedisServer(folder / "primary", "--repl-diskless-sync-delay", "0")))
        replica = RedisServer(folder / "replica", "--replicaof", HOST, str(primary.port))
        stack.enter_context(running(replica))
        watcher = stack.enter_context(running(RedisServer(folder / "sentinel", sentinel_of=primary.port)))
        with replica.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up", "the replica's first copy")
        with watcher.client() as client:
            until(lambda: client.sentinel_slaves("phones"), "the Sentinel's discovery of the replica")
        yield primary, replica, watcher


class Forwarder:
    """A forwarder on the loopback; it can change its target, delay, and lose replies."""

    def __init__(self, target: int) -> None:
        self.target, self.delay, self.answers_to_lose = target, 0.0, 0
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]

    def __enter__(self) -> Forwarder:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self.target))
                self._sockets += [near, far]
                threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.answers_to_lose:
                    self.answers_to_lose -= 1
                    break
                if answers and self.delay:
                    time.sleep(self.delay)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
