"""What a start and a check cost on every store, as their callers see it: `python -m benchmarks.costs`.

Each way of storing runs in a separate process: the library without a framework, all quotas on, the number parsed for
each start. Every line has the median and the 99th percentile of one client, for phones that the store has not seen and
for phones that it has; the cycles a second of one client and of eight; the multiple of the floor, timed in turn; the
round trips and PostgreSQL's statements on the wire (of BEGIN and COMMIT too); and the processor seconds of a thousand
cycles, of the client and of the server.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import floors
from .measure import in_turn, repeated
from .processes import processor_seconds
from .servers import Servers
from .sites import Cycle, number
from .wire import Counts, counted

#: Processes of a server, by the scheme of its URL.
_PROCESSES = {"postgresql": "postgres", "mysql": "mariadbd", "redis": "redis-server"}
#: Django's OPTIONS of a connection whose statements keep their plans; see docs/scaling.md.
_KEPT_PLANS = {"server_side_binding": True, "prepare_threshold": 3}
#: Django's OPTIONS of an SQLite file that is written like that of our own store; see docs/scaling.md.
_WAL = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}
_CLIENTS = 8
_HEAD = (
    "way", "start p50 / p99 µs", "check", "start, phone seen", "check", "cycles/s, 1 client", "8 clients", "× floor",
    "round trips", "statements", "CPU client / server, s per 1,000",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A way of storing: its server, and whether the store is Django's, and with which options."""

    server: str
    orm: bool = False
    options: Mapping[str, object] | None = None
    floor: Callable[[str], floors.Floor] | None = None


WAYS: Mapping[str, Way] = {
    "sqlite": Way("sqlite", floor=lambda url: floors.sqlite(Path(f"{urlsplit(url).path}.floor"))),
    "sqlite-orm": Way("sqlite", orm=True, floor=lambda url: floors.sqlite(Path(f"{urlsplit(url).path}.floor"))),
    "sqlite-orm-wal": Way(
        "sqlite", orm=True, options=_WAL, floor=lambda url: floors.sqlite(Path(f"{urlsplit(url).path}.floor"))
    ),
    "postgresql": Way("postgresql", floor=floors.postgresql),
    "postgresql-orm": Way("postgresql", orm=True, floor=floors.postgresql),
    "postgresql-orm-kept-plans": Way("postgresql", orm=True, options=_KEPT_PLANS, floor=floors.postgresql),
    "mariadb": Way("mysql", floor=floors.mariadb),
    "redis": Way("redis", floor=floors.redis),
    "memory": Way("memory"),
}


@dataclass(frozen=True)
class Cost:
    """Microseconds as median and 99th percentile, counts of one cycle, and processor milliseconds of one cycle."""

    start: tuple[float, float]
    check: tuple[float, float]
    seen_start: tuple[float, float]
    seen_check: tuple[float, float]
    cycles_per_second: float
    cycles_of_eight: float
    times_the_floor: float | None
    round_trips: tuple[float, float] | None
    statements: tuple[float, float] | None
    client_ms: float
    server_ms: float | None


def measure(way: Way, url: str, cycles: int, rounds: int) -> Cost:
    """Measure one way on its empty database."""
    cycle = cycle_of(way, url)
    cycle(20)
    next(itertools.islice(_places, 2000, 2000), None)  # past the numbers of `Cycle` itself
    began, client, server = time.perf_counter(), time.process_time(), _server_seconds(way)
    fresh = [_timed(cycle, text) for text in _numbers(cycles)]
    seconds, client = time.perf_counter() - began, time.process_time() - client
    used = None if server is None else (_server_seconds(way) or 0.0) - server
    texts = list(_numbers(min(cycles, 200)))
    for text in texts:
        cycle.check(*cycle.start(text))
    seen = [_timed(cycle, text) for _ in range(cycles // len(texts)) for text in texts]
    ratio = None
    if way.floor is not None:
        bare = way.floor(url)
        less, more = repeated(bare), repeated(cycle)
        ratio = in_turn(lambda: bare(less), lambda: cycle(more), rounds)[2] * less / more
    trips = _on_the_wire(way, url)
    return Cost(
        start=_spread([start for start, _ in fresh]),
        check=_spread([check for _, check in fresh]),
        seen_start=_spread([start for start, _ in seen]),
        seen_check=_spread([check for _, check in seen]),
        cycles_per_second=cycles / seconds,
        cycles_of_eight=_at_once(cycle, cycles),
        times_the_floor=ratio,
        round_trips=trips and (trips[0].round_trips / _SAMPLE, trips[1].round_trips / _SAMPLE),
        statements=trips and (trips[0].statements / _SAMPLE, trips[1].statements / _SAMPLE),
        client_ms=client / cycles * 1000,
        server_ms=None if used is None else used / cycles * 1000,
    )


#: Starts whose round trips are counted, from a place on that no other start reaches.
_SAMPLE, _SAMPLE_FROM = 64, 5_000_000
_places = itertools.count()


def _numbers(count: int) -> Iterator[str]:
    """Return numbers that this process has not returned before."""
    return map(number, itertools.islice(_places, count))


def _timed(cycle: Cycle, text: str) -> tuple[float, float]:
    began = time.perf_counter()
    begun = cycle.start(text)
    between = time.perf_counter()
    cycle.check(*begun)
    return between - began, time.perf_counter() - between


def _spread(seconds: Sequence[float]) -> tuple[float, float]:
    return statistics.median(seconds) * 1e6, statistics.quantiles(seconds, n=100)[98] * 1e6


def _at_once(cycle: Cycle, cycles: int) -> float:
    """Return the cycles a second of eight threads of one process."""
    ready = threading.Barrier(_CLIENTS + 1)

    def client() -> None:
        cycle(2)
        ready.wait()
        cycle(cycles // _CLIENTS)

    threads = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return cycles / (time.perf_counter() - began)


def _on_the_wire(way: Way, url: str) -> tuple[Counts, Counts] | None:
    """Return what the starts of fresh phones and their checks sent."""
    if way.server not in _PROCESSES:
        return None
    parts = urlsplit(url)
    assert parts.port
    with counted(parts.port) as (port, counts):
        through = url.replace(f":{parts.port}", f":{port}", 1)
        command = [sys.executable, "-m", "benchmarks.costs", "--sample", through, "--way", _name(way)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin
        assert child.stdout
        found = []
        for _ in ("starts", "checks"):
            child.stdout.readline()
            counts.clear()
            print(file=child.stdin, flush=True)
            child.stdout.readline()
            found.append(Counts(counts.round_trips, counts.statements))
        child.communicate()
    return found[0], found[1]


def _sample(way: Way, url: str) -> None:
    """Start and check some verifications, waiting for a line before each part and writing one around it."""
    cycle = cycle_of(way, url)
    cycle(20)
    begun = []

    def starts() -> None:
        begun.extend([cycle.start(number(_SAMPLE_FROM + place)) for place in range(_SAMPLE)])

    def checks() -> None:
        for each in begun:
            cycle.check(*each)

    for part in (starts, checks):
        print(flush=True)
        sys.stdin.readline()
        part()
        print(flush=True)


def cycle_of(way: Way, url: str) -> Cycle:
    """Return the cycle of this way on its empty database."""
    if not way.orm:
        return Cycle("memory:" if way.server == "memory" else url)
    from .orm_store import orm_store

    return Cycle("own:", {"own": orm_store(url, way.options or {})})


def _name(way: Way) -> str:
    return next(name for name, each in WAYS.items() if each is way)


def _server_seconds(way: Way) -> float | None:
    wanted = _PROCESSES.get(way.server)
    if wanted is None:
        return None
    total = 0.0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if (folder / "comm").read_text().strip() == wanted:
                    total += processor_seconds(int(folder.name))
            except OSError:  # it has ended
                continue
    return total


def url_of(way: Way, servers: Servers, stack: ExitStack) -> str | None:
    """Return the URL of an empty database for this way, or None without its server."""
    match way.server:
        case "sqlite":
            return f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/costs.sqlite3"
        case "postgresql" if servers.postgresql:
            return stack.enter_context(servers.fresh_postgresql()).replace("127.0.0.1", "127.0.0.1:5432") + (
                "?sslmode=disable"
            )
        case "mysql" if servers.mariadb:
            return stack.enter_context(servers.fresh_mariadb()).replace("127.0.0.1", "127.0.0.1:3306")
        case "redis" if servers.redis:
            return stack.enter_context(servers.fresh_redis())
        case "memory":
            return "memory:"
    return None


def _table(costs: Mapping[str, Cost]) -> str:
    lines = [
        "| " + " | ".join(_HEAD) + " |",
        "|---" * len(_HEAD) + "|",
    ]
    for name, cost in costs.items():
        spreads = [
            f"{p50:,.0f} / {p99:,.0f}" for p50, p99 in (cost.start, cost.check, cost.seen_start, cost.seen_check)
        ]
        trips = [
            "" if pair is None else f"{pair[0]:.2g} + {pair[1]:.2g}" for pair in (cost.round_trips, cost.statements)
        ]
        floor = "" if cost.times_the_floor is None else f"{cost.times_the_floor:.1f}"
        rates = [f"{cost.cycles_per_second:,.0f}", f"{cost.cycles_of_eight:,.0f}", floor]
        used = f"{cost.client_ms:.2f} / {'' if cost.server_ms is None else f'{cost.server_ms:.2f}'}"
        lines.append("| " + " | ".join([name, *spreads, *rates, *trips, used]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ways", nargs="*", help=f"{', '.join(WAYS)}; all if none")
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9, help="blocks of which the median counts, for the floor")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    # For the processes that this one starts.
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.sample:
        _sample(WAYS[chosen.way], chosen.sample)
    elif chosen.url:
        found = measure(WAYS[chosen.way], chosen.url, chosen.cycles, chosen.rounds)
        print(json.dumps(asdict(found)))
    else:
        _all(chosen, parser)


def _all(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if unknown := [name for name in chosen.ways if name not in WAYS]:
        parser.error(f"there is no way {unknown[0]!r}; there are: {', '.join(WAYS)}")
    servers, costs = Servers.found(), {}
    for name in chosen.ways or WAYS:
        with ExitStack() as stack:
            if (url := url_of(WAYS[name], servers, stack)) is None:
                print(f"{name}: its server does not run", file=sys.stderr)
                continue
            print(f"{name}…", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "benchmarks.costs", "--way", name, "--url", url]
            command += ["--cycles", str(chosen.cycles), "--rounds", str(chosen.rounds)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            costs[name] = Cost(**json.loads(done.stdout))
    print(_table(costs))
    if chosen.json:
        chosen.json.write_text(json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
