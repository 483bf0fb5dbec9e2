"""Sixteen clients for some minutes against gunicorn with two workers of eight threads.

python -m benchmarks.sustained                       three minutes on Django, over PostgreSQL and over Redis
python -m benchmarks.sustained --minutes 0.5 flask   half a minute each on Flask

Each client starts a verification, checks its code, and begins again. Printed are, by half minutes, the cycles, the
errors, the median and 99th percentile of a start and of a check, and the memory of each worker afterwards.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from phone_verify.phone import PhoneNumber

from .http import START, check_path, post, right_code, secret_header, serving
from .processes import children, megabytes
from .servers import Servers
from .sites import number

_CLIENTS, _WORKERS, _THREADS = 16, 2, 8
_WINDOW = 30
#: Seconds after which each thread of each worker has opened its connections.
_WARM_UP = 2.0
_places = itertools.count()


@dataclass(frozen=True)
class Cycle:
    """The seconds of a cycle's start and of its check; or its error."""

    start: float = 0.0
    check: float = 0.0
    error: str = ""


def measure(framework: str, database: str, store: str, seconds: float) -> Iterator[str]:
    """Yield a line for each window, and one for all of it."""
    with serving(framework, database, store=store, workers=_WORKERS, threads=_THREADS) as server:
        visits(server.port, _WARM_UP)
        before, began, cycles = _memory(server.pid), time.monotonic(), list[Cycle]()
        for at in range(0, round(seconds), _WINDOW):
            found = visits(server.port, min(_WINDOW, seconds - at))
            yield f"{at} s: {_summary(found)}; workers {_memory(server.pid)} MB"
            cycles += found
        rate = len(cycles) / (time.monotonic() - began)
        yield f"all: {_summary(cycles)}; {rate:.0f} cycles/s; workers {before} → {_memory(server.pid)} MB"


def visits(port: int, seconds: float, clients: int = _CLIENTS) -> list[Cycle]:
    """Return the cycles of this many clients in this time."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as executor:
        found = [executor.submit(_visit, port, end) for _ in range(clients)]
    return list(itertools.chain(*(visit.result() for visit in found)))


def _visit(port: int, end: float) -> list[Cycle]:
    connection, cycles = HTTPConnection("127.0.0.1", port, timeout=30), []
    while time.monotonic() < end:
        cycles.append(_cycle(connection))
        if cycles[-1].error:
            connection.close()  # `http.client` opens it again
    return cycles


def _cycle(connection: HTTPConnection) -> Cycle:
    phone, began = PhoneNumber(number(next(_places))), time.monotonic()
    try:
        status, begun = post(connection, START, {"phone": phone.e164})
        if status != 201:
            return Cycle(error=f"start {status}")
        started = time.monotonic()
        code = right_code(begun, phone)
        asked = time.monotonic()
        status, _ = post(connection, check_path(begun), {"code": code}, secret_header(begun))
        if status != 200:
            return Cycle(error=f"check {status}")
    except (OSError, HTTPException) as error:
        return Cycle(error=type(error).__name__)
    return Cycle(started - began, time.monotonic() - asked)


def _summary(cycles: Sequence[Cycle]) -> str:
    good = [cycle for cycle in cycles if not cycle.error]
    errors = Counter(cycle.error for cycle in cycles if cycle.error)
    named = "".join(f", {count} {error}" for error, count in errors.most_common())
    starts, checks = (spread([getattr(cycle, part) for cycle in good]) for part in ("start", "check"))
    return f"{len(good)} cycles, {errors.total()} errors{named}; p50 / p99 ms of a start {starts}, of a check {checks}"


def spread(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile in milliseconds."""
    if not seconds:
        return "-"
    return f"{statistics.median(seconds) * 1000:.1f} / {sorted(seconds)[len(seconds) * 99 // 100] * 1000:.1f}"


def _memory(pid: int) -> str:
    return ", ".join(f"{megabytes(worker):.0f}" for worker in children(pid))


@contextmanager
def databases(servers: Servers) -> Iterator[dict[str, tuple[str, str]]]:
    """Yield the database and the store of each line."""
    with ExitStack() as stack:
        found = {}
        if servers.postgresql:
            found["PostgreSQL"] = (stack.enter_context(servers.fresh_postgresql()), "")
        if servers.redis:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            found["Redis"] = (f"sqlite:///{folder}/site.sqlite3", stack.enter_context(servers.fresh_redis()))
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sustained", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frameworks", nargs="*", default=["django"], help="django, flask; django if none")
    parser.add_argument("--minutes", type=float, default=3, help="how long on each store")
    chosen = parser.parse_args()
    for framework in chosen.frameworks:
        with databases(Servers.found()) as found:
            for name, (database, store) in found.items():
                for line in measure(framework, database, store, chosen.minutes * 60):
                    print(f"{framework}, {name}, {line}", flush=True)


if __name__ == "__main__":
    main()
