"""Open event streams on one worker: its memory, its processor time, and the delay of a change.

python -m benchmarks.event_streams                              2,000 streams on each example site, over each store
python -m benchmarks.event_streams --streams 500 flask          500 on Flask

Each stream follows a separate verification. Processor time and memory are those of the server's only process, with
all streams open and nothing else to do. The delay is the time from the answer of a cancellation to its event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Figure, table
from .processes import await_port, free_port, megabytes, processor_seconds, threads
from .servers import Servers

_SITES = Path(__file__).parents[1] / "example_projects"
_QUOTAS = {f"sends_per_hour{of}": "999999999" for of in ("", "_per_address", "_per_prefix", "_total")}
_SPAWN = multiprocessing.get_context("spawn")
#: Streams that are opened at the same time, and cancellations whose delay is measured.
_TOGETHER, _CANCELLED = 8, 20


def figures(streams: int, seconds: float, sites: tuple[str, ...] = ("django", "flask")) -> Iterator[Figure]:
    """Return the share of one core that the streams of each site and store use; mark: 2,000 streams at half a core."""
    servers = Servers.found()
    with ExitStack() as stack:
        stores = {"SQLite": ""}
        if servers.redis:
            stores["Redis"] = stack.enter_context(servers.fresh_redis())
        for site in sites:
            for name, store in stores.items():
                found = _on_site(site, store, streams, seconds)
                memory = f"{found['kilobytes']:.0f} KB each, {found['threads']:.0f} threads"
                delay = f"a change after {found['delay']:.1f} s"
                what = f"{streams} event streams, {site}, {name} ({memory}, {delay})"
                yield Figure(what, found["processor"], "of a core", 0.8, 0.5, notes=found)


def _on_site(site: str, store: str, streams: int, seconds: float) -> dict[str, float]:
    port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "SECRET_KEY": "a key for benchmarks only, and long enough for them",
            "LOG_LEVEL": "ERROR",
            "PHONE_VERIFY_SMS": "console://",
            "PHONE_VERIFY_TTL": "600",
            "PHONE_VERIFY_STORE": store or ("orm:" if site == "django" else f"sqlite:///{folder}/store.sqlite3"),
            **{f"PHONE_VERIFY_{name.upper()}": value for name, value in _QUOTAS.items()},
        }
        command = [sys.executable, "-m", "uvicorn", "asgi:application", "--port", str(port), "--log-level", "error",
                   "--no-access-log", "--backlog", "4096"]  # fmt: skip
        log = stack.enter_context(Path(folder, "log").open("wb"))
        server = subprocess.Popen(command, cwd=_SITES / f"{site}_site", env=env, stderr=log)
        try:
            await_port(port)
            with _SPAWN.Pool(1) as pool:
                return pool.apply(_follow, (f"http://127.0.0.1:{port}/phone/v1", streams, seconds, server.pid))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _follow(url: str, streams: int, seconds: float, pid: int) -> dict[str, float]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return asyncio.run(_measured(url, streams, seconds, pid))


async def _measured(url: str, streams: int, seconds: float, pid: int) -> dict[str, float]:
    from aiohttp import ClientSession, ClientTimeout, CookieJar, DummyCookieJar, TCPConnector

    jar: CookieJar | DummyCookieJar = DummyCookieJar()
    async with ClientSession(
        connector=TCPConnector(limit=0, force_close=True), cookie_jar=jar, timeout=ClientTimeout()
    ) as session:
        gate = asyncio.Semaphore(_TOGETHER)

        async def start(number: int) -> dict[str, Any]:
            async with gate, session.post(f"{url}/verifications", json={"phone": f"+98912{number:07}"}) as response:
                document: dict[str, Any] = await response.json()
                assert response.status == 201, document
                return document

        async def follow(document: dict[str, Any], opened: asyncio.Semaphore) -> float:
            address = f"{url}/verifications/{document['id']}/events"
            headers = {"Verification-Secret": document["secret"]}
            ended = 0.0
            async with gate:
                response = await session.get(address, headers=headers)
                assert response.status == 200, await response.text()
                await response.content.readline()
            opened.release()
            async for _ in response.content:
                ended = time.perf_counter()
            return ended

        documents = await asyncio.gather(*map(start, range(streams)))
        before = megabytes(pid)
        opened = asyncio.Semaphore(0)
        following = [asyncio.create_task(follow(document, opened)) for document in documents]
        for _ in following:
            await opened.acquire()
        await asyncio.sleep(5)
        used, began = processor_seconds(pid), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (processor_seconds(pid) - used) / (time.perf_counter() - began)
        found = {
            "processor": share,
            "kilobytes": (megabytes(pid) - before) * 1000 / streams,
            "megabytes": megabytes(pid),
            "threads": float(threads(pid)),
        }
        delays = []
        for document, task in list(zip(documents, following, strict=True))[-_CANCELLED:]:
            headers = {"Verification-Secret": document["secret"]}
            async with session.delete(f"{url}/verifications/{document['id']}", headers=headers) as response:
                assert response.status == 204
            cancelled = time.perf_counter()
            delays.append(await task - cancelled)
        for task in following:
            task.cancel()
        return {**found, "delay": statistics.mean(delays)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.event_streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sites", nargs="*", default=["django", "flask"], help="django, flask; both if none")
    parser.add_argument("--streams", type=int, default=2000, help="how many are open at the same time")
    parser.add_argument("--seconds", type=float, default=30, help="how long the processor time is measured")
    chosen = parser.parse_args()
    found = []
    for figure in figures(chosen.streams, chosen.seconds, tuple(chosen.sites)):
        print(f"  {figure.name}: {figure.value:.2f} {figure.verdict}", file=sys.stderr, flush=True)
        found.append(figure)
    print(table(found))
    print(json.dumps([{**asdict(figure), "verdict": figure.verdict} for figure in found]))


if __name__ == "__main__":
    main()
