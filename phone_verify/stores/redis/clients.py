"""Clients of redis-py, blocking and async, and what their errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .address import Address, Kind

#: How many steps an async store has under way at once in one event loop; the others wait their turn.
AT_ONCE = 50

#: How long one Sentinel is waited for, in seconds.
SENTINEL_WAIT = 1.0

#: Everything that a client raises where the server does not do what it is asked.
ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, exceptions.ChildDeadlockedError, OSError)

#: What is told of an error. Its own text may hold the address, or values of the command.
_MEANINGS: dict[type[BaseException], str] = {
    exceptions.AuthenticationError: "it wants another user or password than PHONE_VERIFY_STORE has",
    exceptions.NoPermissionError: "its ACL forbids the user a command; docs/stores.md lists those needed",
    exceptions.ReadOnlyError: "it is a replica that takes no writes; name the primary, or its Sentinels",
    exceptions.BusyLoadingError: "it is still loading its data",
    exceptions.OutOfMemoryError: "it is out of memory",
    exceptions.MovedError: "it is a node of a Cluster; write redis+cluster:// in PHONE_VERIFY_STORE",
    exceptions.AskError: "the Cluster is moving the key",
    exceptions.TryAgainError: "the Cluster is moving the key",
    exceptions.ClusterDownError: "the Cluster is down",
    exceptions.TimeoutError: "it did not answer in time",
    exceptions.ConnectionError: "there is no connection to it",
    exceptions.RedisClusterException: "the Cluster cannot be reached",
    TimeoutError: "too many steps wait for it",
    OSError: "there is no connection to it",
}

#: What servers call a forbidden command within a script: Redis to 7.0, and those after it with Valkey.
_FORBIDDEN = re.compile(r"can't run this command|ACL failure in script")


def explained(error: BaseException) -> str:
    """What the error means, in a line without any value of the command or the URL."""
    return f"The Redis store could not do the step: {_meaning(error)}"


def _meaning(error: BaseException) -> str:
    text = str(error)
    kinds = type(error).__mro__
    if _FORBIDDEN.search(text):
        kinds = (exceptions.NoPermissionError,)
    elif text.startswith("MOVED "):  # not every version of redis-py tells it apart
        kinds = (exceptions.MovedError,)
    for kind in kinds:
        if kind in _MEANINGS:
            return _MEANINGS[kind]
    # Servers begin the text of an error with a word for its kind: MISCONF, NOREPLICAS, BUSY…
    word = text.partition(" ")[0]
    return f"{type(error).__name__} {word}" if word.isalpha() and word.isupper() else type(error).__name__


class Blocking(Protocol):
    """Servers that threads share. Raises one of `ERRORS`, and never sends a command twice."""

    def ask(self, *command: bytes) -> Any:
        """Send a command and return its answer."""
        ...

    def memory(self) -> list[dict[str, Any]]:
        """What INFO says of the memory of each server."""
        ...


def blocking(address: Address) -> Blocking:
    """The servers at this address. Only those of a Cluster are connected to at once."""
    if address.kind is Kind.CLUSTER:
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        return _Nodes(_Cluster(startup_nodes=nodes, **_options(address, Retry)))
    return _Server(_client(address, redis, Retry))


class _Cluster(redis.RedisCluster):
    # Left to itself it sends a command again whose answer was lost, and an attempt would be taken twice.
    ERRORS_ALLOW_RETRY = ()  # type: ignore[assignment]


class _Nodes:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, *command: bytes) -> Any:
        return self._client.execute_command(command[0].decode(), *command[1:])

    def memory(self) -> list[dict[str, Any]]:
        return list(self._client.info("memory", target_nodes=redis.RedisCluster.PRIMARIES).values())


class _Server:
    """Connections of redis-py, used one call at a time; they close themselves when they are given up.

    Its pool and its `execute_command` add counters, locks and retries to each call, and more time than a script takes.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._free: list[Any] = []

    def ask(self, *command: bytes) -> Any:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._client.connection_pool.make_connection()
        try:
            connection.connect()  # by Sentinel, where there is one; what sends a command would not ask it
            if _stale(connection):
                connection.disconnect()
                connection.connect()
            connection.send_packed_command([_packed(command)])
            return connection.read_response()
        finally:
            self._free.append(connection)

    def memory(self) -> list[dict[str, Any]]:
        return [self._client.info("memory")]


def _stale(connection: Any) -> bool:
    """Whether the server has closed a connection that lay idle, or something is left over on it."""
    try:
        return bool(connection.can_read())
    except ERRORS:
        return True


def _packed(command: Sequence[bytes]) -> bytes:
    return b"*%d\r\n%b" % (len(command), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in command]))


class Async:
    """Servers for the coroutines of one event loop. Raises one of `ERRORS`, and never sends a command twice."""

    def __init__(self, address: Address) -> None:
        self._clustered = address.kind is Kind.CLUSTER
        if self._clustered:
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in address.hosts]
            self._client: Any = _AsyncCluster(startup_nodes=nodes, **_options(address, AsyncRetry))
        else:
            self._client = _client(address, redis.asyncio, AsyncRetry)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._wait = address.wait

    async def ask(self, *command: bytes) -> Any:
        """Send a command when its turn has come, and return its answer."""
        async with asyncio.timeout(self._wait):
            await self._turns.acquire()
        try:
            return await self._client.execute_command(command[0].decode(), *command[1:])
        finally:
            self._turns.release()

    async def memory(self) -> list[dict[str, Any]]:
        """What INFO says of the memory of each server."""
        if self._clustered:
            told = await self._client.info("memory", target_nodes=redis.asyncio.RedisCluster.PRIMARIES)
            return list(told.values())
        return [await self._client.info("memory")]

    async def aclose(self) -> None:
        """Close the connections."""
        for one in (self._client, *(() if self._clustered else _watchers(self._client))):
            with suppress(*ERRORS):  # given up, whatever the server says to it
                await one.aclose()


class OfLoops:
    """`Async` servers for each event loop that asks. Their connections end with the loop, or by `aclose`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._open: dict[asyncio.AbstractEventLoop, _Kept] = {}

    async def here(self) -> Async:
        """Those of the running loop."""
        loop = asyncio.get_running_loop()
        kept = self._open.get(loop)
        if kept is None:
            for other in list(self._open):
                if other.is_closed():  # without any shutdown; the collector closes what it left
                    self._open.pop(other, None)
            end = self._while_it_runs(loop)
            kept = self._open[loop] = _Kept(await anext(end), end)
        return kept.servers

    async def aclose(self) -> None:
        """Close the connections of the running loop; the next step opens new ones."""
        kept = self._open.get(asyncio.get_running_loop())
        if kept is not None:
            await kept.end.aclose()

    async def _while_it_runs(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Async, None]:
        # A generator, because loops close those that they have begun when they shut down; there is no other hook.
        servers = Async(self._address)
        try:
            yield servers
        finally:
            self._open.pop(loop, None)
            await servers.aclose()


@dataclass(frozen=True, slots=True)
class _Kept:
    servers: Async
    end: AsyncGenerator[Async, None]


def _watchers(client: Any) -> list[Any]:
    """The clients of the Sentinels, if any led here."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)


class _AsyncCluster(redis.asyncio.RedisCluster):
    ERRORS_ALLOW_RETRY = ()  # type: ignore[assignment]


def _client(address: Address, library: Any, retry: Any) -> Any:
    """A client of one server, or of the one that the Sentinels name; `library` is redis-py's, blocking or async."""
    options = {**_options(address, retry), "db": address.db}
    if address.kind is Kind.SENTINEL:
        # They are asked one after the other, each of them shortly.
        wait = min(address.wait, SENTINEL_WAIT)
        theirs: dict[str, Any] = {"username": None, "password": None, **address.sentinel_login, "db": 0}
        theirs |= {"socket_timeout": wait, "socket_connect_timeout": wait}
        watchers = library.sentinel.Sentinel(address.hosts, sentinel_kwargs={**options, **theirs}, **options)
        return watchers.master_for(address.service)
    (host, port), *_ = address.hosts
    return library.Redis(host=host, port=port, **options)


def _options(address: Address, retry: Any) -> dict[str, Any]:
    return {
        **address.login,
        **address.tls,
        "socket_timeout": address.wait,
        "socket_connect_timeout": address.wait,
        "socket_keepalive": True,
        "retry": retry(NoBackoff(), 0),
        # With the third, pushed messages may come at any time, and what is left over on a connection tells nothing.
        "protocol": 2,
        # Threads bound the connections of a blocking site; `Async` counts its own.
        "max_connections": 2**31,
    }
