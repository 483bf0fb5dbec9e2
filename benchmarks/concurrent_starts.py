"""Concurrent starts in one process with an event loop, against a provider that takes a second.

python -m benchmarks.concurrent_starts                        500 in the core, 500 on Django
python -m benchmarks.concurrent_starts --starts 2000 core     2,000 in the core

A wave is a number of starts for different phones, issued simultaneously with every quota counted. The figure is the
duration of the slowest start of the slowest wave. Memory is the size of the process after each wave.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Figure, table
from .processes import await_port, free_port, megabytes, processor_seconds
from .servers import Servers

_SECONDS = 1.0
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
        provider = stack.enter_context(_provider())
        stores = {"memory": "memory:"} if "core" in parts else {}
        if servers.redis:
            stores["redis"] = stack.enter_context(servers.fresh_redis())
        for name, store in stores.items():
            if "core" in parts:
                yield _figure(f"core, {name}", starts, _in_process(provider, store, starts, waves), bar, mark)
        if "django" in parts:
            for name, store in {"SQLite by the ORM": "orm:", **stores}.items():
                if name != "memory":  # Django reports several processes for every ASGI server
                    yield _figure(f"Django, {name}", starts, _on_django(provider, store, starts, waves), bar, mark)


def _figure(what: str, starts: int, waves: list[dict[str, float]], bar: float | None, mark: float | None) -> Figure:
    slowest = max(wave["slowest"] for wave in waves)
    notes = {"waves": [{name: round(value, 2) for name, value in wave.items()} for wave in waves]}
    memory = " → ".join(f"{wave['megabytes']:.0f}" for wave in waves)
    name = f"{starts} starts at once, {what} ({memory} MB)"
    return Figure(name, slowest, "s", bar if bar is not None else mark, mark, notes=notes)


async def _wave(start: Callable[[str], Coroutine[Any, Any, None]], phones: Iterator[str], starts: int) -> list[float]:
    async def timed(phone: str) -> float:
        began = time.perf_counter()
        await start(phone)
        return time.perf_counter() - began

    return await asyncio.gather(*(timed(next(phones)) for _ in range(starts)))


def _phones() -> Iterator[str]:
    return (f"+98912{number:07}" for number in range(10**7))


# The provider: a process that accepts after a second.


class _Late(asyncio.Protocol):
    _transport: asyncio.Transport
    _received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        if end and len(body) >= int(lengths[0]):
            self._received = b""
            asyncio.get_running_loop().call_later(_SECONDS, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_REPLY)


def _provide(listening: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Late, sock=listening, backlog=4096)
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def _provider() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        process = _SPAWN.Process(target=_provide, args=(listening,), daemon=True)
        process.start()
        try:
            yield f"amoot://TOKEN@127.0.0.1:{listening.getsockname()[1]}?tls=off"
        finally:
            process.terminate()
            process.join()


# The core.


def _in_process(dsn: str, store: str, starts: int, waves: int) -> list[dict[str, float]]:
    with _SPAWN.Pool(1) as pool:
        return pool.apply(_core, (dsn, store, starts, waves))


def _core(dsn: str, store: str, starts: int, waves: int) -> list[dict[str, float]]:
    from phone_verify import PhoneNumber, Settings, Started, build_site

    site = build_site(
        Settings.from_mapping({"sms": dsn, "store": store, **_QUOTAS}),
        framework_keys=["k-key-for-tests-0123456789abcdef"],
    )
    phones = _phones()

    async def start(phone: str) -> None:
        outcome = await site.async_verifier.start(PhoneNumber.parse(phone), address="192.0.2.1")
        assert isinstance(outcome, Started)
        assert outcome.verification.status == "sent", outcome

    return asyncio.run(_waves(start, phones, starts, waves, os.getpid()))


async def _waves(
    start: Callable[[str], Coroutine[Any, Any, None]], phones: Iterator[str], starts: int, waves: int, pid: int
) -> list[dict[str, float]]:
    found = []
    await start(next(phones))  # warm-up: modules and connections
    for _ in range(waves):
        began, used = time.perf_counter(), processor_seconds(pid)
        took = await _wave(start, phones, starts)
        found.append(
            {
                "seconds": time.perf_counter() - began,
                "slowest": max(took),
                "processor": processor_seconds(pid) - used,
                "megabytes": megabytes(pid),
            }
        )
    return found


# Django: its example site under uvicorn, and the visitors in another process.


def _on_django(dsn: str, store: str, starts: int, waves: int) -> list[dict[str, float]]:
    port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "SECRET_KEY": "a key for benchmarks only, and long enough for them",
            "PHONE_VERIFY_SMS": dsn,
            "PHONE_VERIFY_STORE": store,
            **{f"PHONE_VERIFY_{name.upper()}": value for name, value in _QUOTAS.items()},
        }
        command = [sys.executable, "-m", "uvicorn", "asgi:application", "--port", str(port), "--log-level", "warning",
                   "--no-access-log", "--backlog", "4096"]  # fmt: skip
        # Its log has a line for each operation.
        log = stack.enter_context(Path(folder, "log").open("wb"))
        server = subprocess.Popen(command, cwd=_DJANGO, env=env, stderr=log)
        try:
            await_port(port)
            with _SPAWN.Pool(1) as pool:
                return pool.apply(
                    _visit, (f"http://127.0.0.1:{port}/phone/v1/verifications", starts, waves, server.pid)
                )
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _visit(url: str, starts: int, waves: int, pid: int) -> list[dict[str, float]]:
    async def visit() -> list[dict[str, float]]:
        from aiohttp import ClientSession, TCPConnector

        async with ClientSession(connector=TCPConnector(limit=0)) as session:

            async def start(phone: str) -> None:
                async with session.post(url, json={"phone": phone}, headers={"Verification-Secret": "x"}) as response:
                    document = await response.json()
                    assert response.status == 201, document
                    assert document["status"] == "sent", document

            return await _waves(start, _phones(), starts, waves, pid)

    return asyncio.run(visit())


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
    found = list(figures(chosen.starts, chosen.waves, tuple(chosen.parts)))
    print(table(found))
    print(json.dumps([{**asdict(figure), "verdict": figure.verdict} for figure in found]))


if __name__ == "__main__":
    main()
