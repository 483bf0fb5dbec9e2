"""What separates a cycle from its floor: `python -m benchmarks.replay postgresql`.

A cycle's commands are recorded on one database and repeated on another, which has the same rows, by the bare driver
on one connection, so without any Python of this library. The commands of Redis are packed before they are timed. The
table also has the floor, a cycle on the store in memory, which sends no commands, and the whole cycle; all are timed
in turn.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Any, NamedTuple

import sqlalchemy as sa

from phone_verify.stores.base import Store
from phone_verify.stores.sql.engine import _POSTGRESQL_SETTINGS, engine_of
from phone_verify.stores.sql.store import SqlStore
from phone_verify.sync import run as finish

from .costs import WAYS, cycle_of, url_of
from .measure import repeated, timed
from .servers import Servers
from .sites import Cycle

#: The modules of the stores' verbs.
_VERBS = ("stores/rows/verbs.py", "stores/redis/store.py")
_COMMIT = "COMMIT"
#: Cycles of a block: their phones are all new to the three databases.
_CYCLES, _ROUNDS, _WARM = 60, 15, 40


class Command(NamedTuple):
    """A command: the verb that sent it, its text, its values, and its outcome, or None if it has none.

    The outcome is how many rows it changed or returned; of a script of Redis, the mark and the word of the reply.
    """

    verb: str
    text: Any
    values: Any
    outcome: object


class Recorder:
    """Records commands while `on`."""

    def __init__(self) -> None:
        self.on, self.commands = False, list[Command]()

    def note(self, text: Any, values: Any = None, outcome: object = None) -> None:
        if self.on:
            self.commands.append(Command(_verb(sys._getframe(1)), text, values, outcome))

    def taken(self) -> Sequence[Command]:
        """Return what was recorded since the last call."""
        commands, self.commands = self.commands, []
        return commands


def _verb(frame: FrameType | None) -> str:
    while frame is not None:
        if frame.f_code.co_filename.endswith(_VERBS):
            _, _, name = frame.f_code.co_qualname.partition(".")
            if name and not name.startswith("_"):
                return name.partition(".")[0]
        frame = frame.f_back
    return "others"


def recorded_postgresql(url: str, recorder: Recorder) -> Store:
    """Return a store whose statements are recorded."""
    import psycopg

    from phone_verify.stores.sql.postgresql import _CURSOR

    class Cursor(psycopg.RawCursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            super().execute(query, params, **options)
            recorder.note(query, params, self.rowcount)
            return self

    def watch(connection: Any, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info[_CURSOR] = Cursor(connection)  # the store takes the cursor that it finds here
        commit = connection.commit

        def noted() -> None:
            commit()
            recorder.note(_COMMIT)

        connection.commit = noted

    return _sql_store(url, "connect", watch)


def recorded_sqlite(url: str, recorder: Recorder) -> Store:
    """Return a store whose statements are recorded."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, values: Any = ()) -> Cursor:
            super().execute(sql, values)
            recorder.note(sql, values, self.rowcount)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            super().commit()
            recorder.note(_COMMIT)

    def connect(_: object, __: object, arguments: Sequence[Any], named: Mapping[str, Any]) -> sqlite3.Connection:
        return sqlite3.connect(*arguments, **named, factory=Connection)

    return _sql_store(url, "do_connect", connect)


def _sql_store(url: str, event: str, listener: Callable[..., object]) -> Store:
    engine = engine_of(url)
    sa.event.listen(engine, event, listener)
    return SqlStore(engine)


def recorded_redis(url: str, recorder: Recorder) -> Store:
    """Return a store whose commands are recorded."""
    from phone_verify.stores.redis.clients import _packed
    from phone_verify.stores.redis.store import RedisStore

    class Recorded(RedisStore):
        async def _ask(self, *command: bytes) -> Any:
            answer = await super()._ask(*command)
            recorder.note(_packed(command), outcome=_mark_and_word(answer))
            return answer

    return Recorded.from_url(url)


def _mark_and_word(answer: bytes) -> Sequence[bytes]:
    """Return the parts of a script's reply that do not depend on the time of the server."""
    return answer.split(b"\0", 2)[:2]


#: Runs a command by the bare driver, and requires the recorded outcome.
Run = Callable[[Command], object]


def bare_postgresql(url: str) -> Run:
    """Run statements by psycopg alone, on a connection and a cursor like the store's."""
    import psycopg

    connection = psycopg.connect(url, autocommit=True, options=_POSTGRESQL_SETTINGS)
    cursor = psycopg.RawCursor(connection)

    def run(command: Command) -> None:
        if command.text is _COMMIT:
            connection.commit()
            return
        cursor.execute(command.text, command.values)
        assert cursor.rowcount == command.outcome, command
        if cursor.description:
            cursor.fetchall()

    return run


def bare_sqlite(url: str) -> Run:
    """Run statements by Python's `sqlite3` alone."""
    connection = sqlite3.connect(str(sa.make_url(url).database), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")

    def run(command: Command) -> None:
        cursor = connection.execute(command.text, command.values or ())
        cursor.fetchall()
        assert command.outcome is None or cursor.rowcount == command.outcome, command

    return run


def bare_redis(url: str) -> Run:
    """Run packed commands on a connection of redis-py like the store's, without its pool and `execute_command`."""
    import redis

    from phone_verify.stores.redis.address import WAIT

    connection: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=WAIT).connection_pool.make_connection()
    connection.connect()

    def run(command: Command) -> None:
        connection.send_packed_command([command.text])
        answer = connection.read_response()
        assert _mark_and_word(answer) == command.outcome, command

    return run


_STORES: Mapping[str, Callable[[str, Recorder], Store]] = {
    "postgresql": recorded_postgresql,
    "sqlite": recorded_sqlite,
    "redis": recorded_redis,
}
_BARE: Mapping[str, Callable[[str], Run]] = {
    "postgresql": bare_postgresql,
    "sqlite": bare_sqlite,
    "redis": bare_redis,
}


def measure(name: str, urls: Sequence[str], rounds: int) -> Mapping[str, tuple[float, float]]:
    """Return the microseconds of a cycle's parts, and their multiples of the floor, on three empty databases."""
    timed_url, recorded_url, repeated_url = urls
    recorder = Recorder()
    store = _STORES[name](recorded_url, recorder)
    for each in (store, _STORES[name](repeated_url, recorder)):
        finish(each.purge(1, None))  # makes the tables
    recorder.on = True
    recorded, ours, memory = Cycle("own:", {"own": store}), cycle_of(WAYS[name], timed_url), Cycle("memory:")
    run, make_floor = _BARE[name](repeated_url), WAYS[name].floor
    assert make_floor
    floor = make_floor(timed_url)
    for cycle in (ours, recorded, memory):
        cycle(_WARM)
    _repeat(run, recorder.taken())
    times = repeated(floor)
    found: dict[str, list[float]] = defaultdict(list)
    bare: list[float] = []
    for _ in range(rounds):
        bare.append(timed(lambda: floor(times)) / times)
        recorded(_CYCLES)
        parts = _repeat(run, recorder.taken())
        for verb, seconds in parts.items():
            found[f"commands of `{verb}`"].append(seconds / _CYCLES)
        found["all commands"].append(sum(parts.values()) / _CYCLES)
        found["a cycle in memory"].append(timed(lambda: memory(_CYCLES)) / _CYCLES)
        found["a cycle"].append(timed(lambda: ours(_CYCLES)) / _CYCLES)
    one = statistics.median(bare)
    medians = {"the floor": one} | {part: statistics.median(seconds) for part, seconds in found.items()}
    return {part: (seconds * 1e6, seconds / one) for part, seconds in medians.items()}


def _repeat(run: Run, commands: Sequence[Command]) -> dict[str, float]:
    """Run the commands; return the seconds of each verb."""
    seconds: dict[str, float] = defaultdict(float)
    for command in commands:
        began = time.perf_counter()
        run(command)
        seconds[command.verb] += time.perf_counter() - began
    return seconds


def table(parts: Mapping[str, tuple[float, float]]) -> str:
    """Return the parts as a Markdown table."""
    lines = ["| part | µs | × floor |", "|---|--:|--:|"]
    lines += [f"| {part} | {micros:,.0f} | {times:.1f} |" for part, (micros, times) in parts.items()]
    return "\n".join(lines)


def _urls(name: str, servers: Servers, stack: ExitStack) -> Iterator[str]:
    for number in range(3):
        if name == "redis":
            if servers.redis:
                yield stack.enter_context(servers.fresh_redis(15 - number))
        elif url := url_of(WAYS[name], servers, stack):
            yield url


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=_STORES)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument(
        "--urls", nargs=3, help="three empty databases; without them, new ones on the server at its usual port"
    )
    chosen = parser.parse_args()
    with ExitStack() as stack:
        urls = chosen.urls or list(_urls(chosen.way, Servers.found(), stack))
        if len(urls) < 3:
            parser.error("its server does not run")
        print(table(measure(chosen.way, urls, chosen.rounds)))


if __name__ == "__main__":
    main()
