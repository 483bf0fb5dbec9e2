"""Every store that several processes share, and processes with threads that use it simultaneously."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from phone_verify import lifecycle
from phone_verify.stores.base import Store
from phone_verify.stores.memory import MemoryStore
from phone_verify.stores.rows import verbs
from phone_verify.stores.sql import SqlStore
from phone_verify.stores.sql.schema import upgrade
from tests.stores import servers

T = TypeVar("T")

PROCESSES, THREADS = 4, 4
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Place:
    """A place for records: how a process opens the store there, and how each thread ends."""

    open: Callable[[], Store]
    processes: int = PROCESSES
    thread_done: Callable[[], None] = lambda: None
    before_fork: Callable[[], None] = lambda: None
    #: Whether the comparison happens in Python, where a test can count it.
    compares_here: bool = True


@contextmanager
def place(name: str, folder: Path, blocker: Any) -> Iterator[Place]:
    """An empty place of this name, removed at the end."""
    with ExitStack() as stack:
        yield _PLACES[name](stack, folder, blocker)


def _memory(stack: ExitStack, folder: Path, blocker: Any) -> Place:
    store = MemoryStore()
    return Place(lambda: store, processes=1)


def _sqlite(stack: ExitStack, folder: Path, blocker: Any) -> Place:
    return Place(lambda: SqlStore.from_url(f"sqlite:///{folder}/store.sqlite3"))


def _server(kind: str) -> Callable[[ExitStack, Path, Any], Place]:
    def make(stack: ExitStack, folder: Path, blocker: Any) -> Place:
        url = stack.enter_context(servers.database(kind))
        upgrade(url)
        return Place(lambda: SqlStore.from_url(url))

    return make


def _orm(kind: str, *, functions: bool = True) -> Callable[[ExitStack, Path, Any], Place]:
    def make(stack: ExitStack, folder: Path, blocker: Any) -> Place:
        from tests.django_adapter import databases

        databases.configure()
        from django.db import connections

        from phone_verify_django.store import OrmStore

        if kind == "sqlite":
            engine = "django.db.backends.sqlite3"
            settings = {"ENGINE": engine, "NAME": folder / "site.sqlite3", "OPTIONS": databases.WRITE_AHEAD}
        else:
            settings = databases.settings_of(stack.enter_context(servers.database(kind)))
        alias = stack.enter_context(databases.registered("own", settings, blocker))
        databases.make_tables(alias, functions=functions)
        close = connections[alias].close
        return Place(lambda: OrmStore(using=alias), thread_done=lambda: connections[alias].close(), before_fork=close)

    return make


def _redis(stack: ExitStack, folder: Path, blocker: Any) -> Place:
    from phone_verify.stores.redis import RedisStore
    from tests.stores.redis_servers import RedisServer, running

    server = stack.enter_context(running(RedisServer(folder / "redis")))
    return Place(lambda: RedisStore.from_url(server.url), compares_here=False)


_PLACES = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _server("postgresql"),
    "mysql": _server("mysql"),
    "orm on sqlite": _orm("sqlite"),
    "orm on postgresql": _orm("postgresql"),
    "orm on mysql": _orm("mysql"),
    "orm on postgresql without functions": _orm("postgresql", functions=False),
}
if importlib.util.find_spec("phone_verify.stores.redis"):
    _PLACES["redis"] = _redis
NAMES = tuple(_PLACES)


def at_once(place: Place, count: int, step: Callable[[Store, int], T]) -> tuple[list[T], int]:
    """Return the results of `count` steps, shared over all processes and threads of a place and started together.

    Also returns how often a code was compared, where it can be counted.
    """
    workers = min(PROCESSES * THREADS, count)
    shares = [range(worker, count, workers) for worker in range(workers)]
    compared = _fork.Value("i", 0)
    barrier = _fork.Barrier(workers)
    if place.processes == 1:
        with _counting(compared):
            return _threads(place, shares, step, barrier), compared.value
    results: Any = _fork.SimpleQueue()

    def process(number: int) -> None:
        try:
            with _counting(compared):
                results.put(_threads(place, shares[number :: place.processes], step, barrier))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own process
            barrier.abort()
            results.put(error)

    children = started(place, [lambda number=number: process(number) for number in range(place.processes)])
    answers = [results.get() for _ in children]
    for child in children:
        child.join(60)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [result for answer in answers for result in answer], compared.value


def started(place: Place, works: list[Callable[[], None]]) -> list[Any]:
    """Forked processes, each with its work."""
    place.before_fork()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no other thread of the test is running
        children = [_fork.Process(target=work, daemon=True) for work in works]
        for child in children:
            child.start()
    return children


def die() -> None:
    """Kill this process like `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def _threads(place: Place, shares: list[range], step: Callable[[Store, int], T], barrier: Any) -> list[T]:
    store = place.open()
    results: list[T] = []
    errors: list[BaseException] = []

    def work(share: range) -> None:
        try:
            barrier.wait(60)
            results.extend([step(store, number) for number in share])
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
        finally:
            place.thread_done()

    threads = [threading.Thread(target=work, args=(share,), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    return results


@contextmanager
def _counting(compared: Any) -> Iterator[None]:
    """Count the comparisons of a code's digest with a guess, here or by the statement for ordinary answers."""
    compare, ordinary = lifecycle._among, verbs.ordinary_spent

    def one_more() -> None:
        with compared.get_lock():
            compared.value += 1

    def counted(digest: bytes, digests: Any) -> bool:
        if isinstance(digests, list):  # of a guess; bindings are not compared here
            one_more()
        return compare(digest, digests)

    def compared_there(*arguments: Any) -> Any:
        one_more()
        return ordinary(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "_among", counted)
        patch.setattr(verbs, "ordinary_spent", compared_there)
        yield
