"""Concurrent starts in one process with an event loop, against a provider that takes a second.

python -m benchmarks.concurrent_starts                        500 in the core, 500 on Django
python -m benchmarks.concurrent_starts --starts 2000 core     2,000 in the core

A wave is a number of starts for different phones, issued simultaneously with every quota counted. The figure is the
duration of the slowest start of the slowest wave. Each wave is printed with the results of its starts, the processor
time of the process, and the memory that it took for each start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .measure import Figure, table
from .processes import await_port, free_port, megabytes, processor_seconds
from .servers import Servers

_SECONDS = 1.0
_SENT = "sent"
_ANSWER = b'{"Status":"Success","Data":{"MessageID":1}}'
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
_DJANGO = Path(__file__).parents[1] / "example_projects" / "django_site"
#: Counted, as on any site, but never reached.
_QUOTAS = {f"sends_per_hour{of}": "999999999" for of in ("", "_per_address", "_per_prefix", "_total")}
_SPAWN = multiprocessing.get_context("spawn")


def figures(starts: int = 500, waves: int = 4, parts: tuple[str, ...] = ("core", "django")) -> Iterator[Figure]:
    """Return the slowest start of each kind of site; bar: 500 in five seconds, mark: 2,000 in three."""
    servers = Servers.found()
    bar, mark = (5.0 if starts <= 500 else None), (3.0 if starts >= 2000 else None)
    with ExitStack() as stack:
        dsn = stack.enter_context(provider())
        stores = {"memory": "memory:"} if "core" in parts else {}
        if servers.redis:
            stores["redis"] = stack.enter_context(servers.fresh_redis())
        if servers.postgresql:
            stores["postgresql"] = stack.enter_context(servers.fresh_postgresql())
        for name, store in stores.items():
            if "core" in parts:
                yield _figure(f"core, {name}", starts, in_process(core, dsn, store, starts, waves), bar, mark)
        if "django" in parts:
            for name, store in {"SQLite by the ORM": "orm:", **stores}.items():
                if name != "memory":  # Django reports several processes for every ASGI server
                    yield _figure(f"Django, {name}", starts, on_django(dsn, store, starts, waves), bar, mark)


@dataclass(frozen=True)
class Wave:
    """The starts of one wave: their results and how often each came, their duration, and what the process used."""

    results: Mapping[str, int]
    seconds: float
    p50: float
    p99: float
    slowest: float
    processor: float
    megabytes: float
    kilobytes_per_start: float

    def __str__(self) -> str:
        results = ", ".join(f"{count} {result}" for result, count in self.results.items())
        return (
            f"{results}; {self.seconds:.2f} s, a start {self.p50:.2f} (p50) {self.p99:.2f} (p99) "
            f"{self.slowest:.2f} (slowest); processor {self.processor:.2f} s, {self.megabytes:.0f} MB, "
            f"{self.kilobytes_per_start:.0f} KB more for each start"
        )


def _figure(what: str, starts: int, waves: list[Wave], bar: float | None, mark: float | None) -> Figure:
    for wave in waves:
        print(f"{what}: {wave}", flush=True)
    slowest, failed = max(wave.slowest for wave in waves), sum(starts - wave.results.get(_SENT, 0) for wave in waves)
    memory = " → ".join(f"{wave.megabytes:.0f}" for wave in waves)
    name = f"{starts} starts at once, {what} ({failed} failed; {memory} MB)"
    notes = {"waves": [asdict(wave) for wave in waves]}
    return Figure(name, slowest, "s", bar if bar is not None else mark, mark, notes=notes)


#: Starts for a phone, and returns its status or what went wrong.
Start = Callable[[str], Coroutine[Any, Any, str]]


async def _wave(start: Start, phones: Iterator[str], starts: int) -> list[tuple[float, str]]:
    async def timed(phone: str) -> tuple[float, str]:
        began = time.perf_counter()
        try:
            result = await start(phone)
        except Exception as error:  # noqa: BLE001 - counted, so that the other starts are measured
            result = type(error).__name__
        return time.perf_counter() - began, result

    return await asyncio.gather(*(timed(next(phones)) for _ in range(starts)))


# The provider: a process that accepts after a second.


class _Late(asyncio.Protocol):
    _transport: asyncio.Transport
    _received = b""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        if end and len(body) >= int(lengths[0]):
            self._received = b""
            asyncio.get_running_loop().call_later(self._seconds, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_REPLY)


def _provide(listening: socket.socket, seconds: float) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Late(seconds), sock=listening, backlog=4096)
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def provider(seconds: float = _SECONDS) -> Iterator[str]:
    """Run a provider that accepts each order after these seconds; return its DSN."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        process = _SPAWN.Process(target=_provide, args=(listening, seconds), daemon=True)
        process.start()
        try:
            yield f"amoot://TOKEN@127.0.0.1:{listening.getsockname()[1]}?tls=off"
        finally:
            process.terminate()
            process.join()


# The core.


def in_process(starting: Callable[..., list[Wave]], dsn: str, store: str, starts: int, waves: int) -> list[Wave]:
    """Return the waves of a function that starts them in a new process."""
    with _SPAWN.Pool(1) as pool:
        return pool.apply(starting, (dsn, store, starts, waves))


def core(dsn: str, store: str, starts: int, waves: int) -> list[Wave]:
    """Return the waves of the core alone, in this process."""
    from phone_verify import PhoneNumber, Settings, Started, build_site

    site = build_site(
        Settings.from_mapping({"sms": dsn, "store": store, **_QUOTAS}),
        framework_keys=["k-key-for-tests-0123456789abcdef"],
    )

    async def start(phone: str) -> str:
        outcome = await site.async_verifier.start(PhoneNumber.parse(phone), address="192.0.2.1")
        return outcome.verification.status if isinstance(outcome, Started) else str(outcome.reason)

    return asyncio.run(run_waves(start, starts, waves, os.getpid()))


async def run_waves(start: Start, starts: int, waves: int, pid: int) -> list[Wave]:
    """Return the waves of these starts in the process with this id."""
    phones = (f"+98912{number:07}" for number in range(10**7))
    found = []
    await start(next(phones))  # warm-up: modules and connections
    for _ in range(waves):
        began, used, held = time.perf_counter(), processor_seconds(pid), megabytes(pid)
        answers = await _wave(start, phones, starts)
        seconds, results = [took for took, _ in answers], [result for _, result in answers]
        found.append(
            Wave(
                results=dict(Counter(results).most_common()),
                seconds=time.perf_counter() - began,
                p50=statistics.median(seconds),
                p99=sorted(seconds)[starts * 99 // 100],
                slowest=max(seconds),
                processor=processor_seconds(pid) - used,
                megabytes=megabytes(pid),
                kilobytes_per_start=(megabytes(pid) - held) * 1000 / starts,
            )
        )
    return found


# Django: its example site under uvicorn, and the visitors in another process.


def on_django(
    dsn: str,
    store: str,
    starts: int,
    waves: int,
    *,
    application: str = "asgi:application",
    path: str = "/phone/v1/verifications",
) -> list[Wave]:
    """Return the waves of requests to this path of the example site."""
    port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "SECRET_KEY": "a key for benchmarks only, and long enough for them",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PHONE_VERIFY_SMS": dsn,
            "PHONE_VERIFY_STORE": store,
            **{f"PHONE_VERIFY_{name.upper()}": value for name, value in _QUOTAS.items()},
        }
        command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning",
                   "--no-access-log", "--backlog", "4096"]  # fmt: skip
        # Its log has a line for each operation.
        log = stack.enter_context(Path(folder, "log").open("wb"))
        server = subprocess.Popen(command, cwd=_DJANGO, env=env, stderr=log)
        try:
            await_port(port)
            with _SPAWN.Pool(1) as pool:
                return pool.apply(_visit, (f"http://127.0.0.1:{port}{path}", starts, waves, server.pid))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _visit(url: str, starts: int, waves: int, pid: int) -> list[Wave]:
    async def visit() -> list[Wave]:
        from aiohttp import ClientSession, TCPConnector

        # A connection for each start: a kept one is closed by uvicorn after five seconds, and the next wave would find
        # it closed while it is written to.
        async with ClientSession(connector=TCPConnector(limit=0, force_close=True)) as session:

            async def start(phone: str) -> str:
                async with session.post(url, json={"phone": phone}, headers={"Verification-Secret": "x"}) as response:
                    document = await response.json()
                    return document["status"] if response.status == 201 else f"{response.status} {document['code']}"

            return await run_waves(start, starts, waves, pid)

    return asyncio.run(visit())


def raise_file_limit() -> None:
    """Let this process and those that it starts open as many files as the system allows.

    Each start takes a connection to the site and one to the provider.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.concurrent_starts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", default=["core", "django"], help="core, django; both if none")
    parser.add_argument("--starts", type=int, default=500, help="how many at once")
    parser.add_argument("--waves", type=int, default=4, help="how often, one after the other")
    chosen = parser.parse_args()
    raise_file_limit()
    found = list(figures(chosen.starts, chosen.waves, tuple(chosen.parts)))
    print(table(found))
    print(json.dumps([{**asdict(figure), "verdict": figure.verdict} for figure in found]))


if __name__ == "__main__":
    main()
