"""Clients based on redis-py, blocking and async, and the meaning of their errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .address import Address, Kind

#: How many steps of an async store run concurrently in one event loop; others queue.
AT_ONCE = 50

#: Time-out for one Sentinel, in seconds.
SENTINEL_WAIT = 1.0

#: Everything that a client raises if the server does not execute a command.
ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, exceptions.ChildDeadlockedError, OSError)

#: Short descriptions of errors. The text of an error may contain the address or values of the command.
_MEANINGS: dict[type[BaseException], str] = {
    exceptions.AuthenticationError: "it rejected the user or password in the URL of the store",
    exceptions.NoPermissionError: "its ACL forbids a command; docs/stores.md lists the required ones",
    exceptions.ReadOnlyError: "it is a read-only replica; name the primary, or its Sentinels",
    exceptions.BusyLoadingError: "it is still loading its data",
    exceptions.OutOfMemoryError: "it is out of memory",
    exceptions.MovedError: "it is a node of a Cluster; the URL of the store must begin with redis+cluster://",
    exceptions.AskError: "the Cluster is moving the key",
    exceptions.TryAgainError: "the Cluster is moving the key",
    exceptions.ClusterDownError: "the Cluster is down",
    exceptions.TimeoutError: "it timed out",
    exceptions.ConnectionError: "it cannot be reached",
    exceptions.RedisClusterException: "the Cluster cannot be reached",
    TimeoutError: "it answered none of the steps before this one",
    OSError: "it cannot be reached",
}

#: Error texts of servers for a forbidden command within a script: Redis up to 7.0, then later versions and Valkey.
_FORBIDDEN = re.compile(r"can't run this command|ACL failure in script")


def explained(error: BaseException) -> str:
    """Describe the error in one line, without any value of the command or the URL."""
    return f"The Redis store failed: {_meaning(error)}"


def _meaning(error: BaseException) -> str:
    text = str(error)
    kinds = type(error).__mro__
    if _FORBIDDEN.search(text):
        kinds = (exceptions.NoPermissionError,)
    elif text.startswith("MOVED "):  # some versions of redis-py have no class for it
        kinds = (exceptions.MovedError,)
    for kind in kinds:
        if kind in _MEANINGS:
            return _MEANINGS[kind]
    # Servers begin the text of an error with its kind: MISCONF, NOREPLICAS, BUSY…
    word = text.partition(" ")[0]
    return f"{type(error).__name__} {word}" if word.isalpha() and word.isupper() else type(error).__name__


#: Servers shared by threads: `ask` sends a command and returns its answer, `memory` returns the INFO output on memory
#: of each server. They raise one of `ERRORS`, and never send a command twice.
Blocking: TypeAlias = "_Nodes | _Server"


def blocking(address: Address) -> Blocking:
    """Return the servers at this address. Only those of a Cluster are connected to immediately."""
    if address.kind is Kind.CLUSTER:
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        return _Nodes(_Cluster(startup_nodes=nodes, **_options(address, Retry)))
    return _Server(_client(address, redis, Retry))


class _Cluster(redis.RedisCluster):
    # By default it resends a command whose response was lost, which would consume an attempt twice.
    ERRORS_ALLOW_RETRY = ()  # type: ignore[assignment]


class _Nodes:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, *command: bytes) -> Any:
        return self._client.execute_command(command[0].decode(), *command[1:])

    def memory(self) -> list[dict[str, Any]]:
        return list(self._client.info("memory", target_nodes=redis.RedisCluster.PRIMARIES).values())


class _Server:
    """Connections of redis-py, each used for one call at a time; a connection closes itself when it is dropped.

    The library's pool and `execute_command` add counters, locks and retries to each call, which
    take more time than a script.
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
            connection.connect()  # with Sentinel only; sending a command directly would bypass it
            if _stale(connection):
                connection.disconnect()
                connection.connect()
            connection.send_packed_command([_packed(command)])
            answer = connection.read_response()
        except exceptions.ResponseError:
            self._free.append(connection)
            raise
        # After any other error it is dropped: an interruption may leave an answer unread.
        self._free.append(connection)
        return answer

    def memory(self) -> list[dict[str, Any]]:
        return [self._client.info("memory")]


def _stale(connection: Any) -> bool:
    """Return whether the server has closed an idle connection, or unread data is left on it."""
    try:
        return bool(connection.can_read())
    except ERRORS:
        return True


def _packed(command: Sequence[bytes]) -> bytes:
    return b"*%d\r\n%b" % (len(command), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in command]))


class Async:
    """Servers for the coroutines of one event loop. Raises one of `ERRORS`, and never sends a command twice.

    Bypasses the library's pool as `_Server` does, except in a Cluster.
    """

    def __init__(self, address: Address) -> None:
        self._clustered = address.kind is Kind.CLUSTER
        if self._clustered:
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in address.hosts]
            self._client: Any = _AsyncCluster(startup_nodes=nodes, **_options(address, AsyncRetry))
        else:
            self._client = _client(address, redis.asyncio, AsyncRetry)
        self._free: list[Any] = []
        self._closed = False
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._wait = address.wait
        #: The commands that the server has answered.
        self._answered = 0

    async def ask(self, *command: bytes) -> Any:
        """Send a command when a slot is free, and return its answer."""
        await self._turn()
        try:
            answer = await self._sent(command)
        finally:
            self._turns.release()
        self._answered += 1
        return answer

    async def _sent(self, command: Sequence[bytes]) -> Any:
        if self._clustered:
            return await self._client.execute_command(command[0].decode(), *command[1:])
        pool = self._client.connection_pool
        connection = self._free.pop() if self._free else pool.make_connection()
        try:
            await pool.ensure_connection(connection)  # replaces a stale one
            await connection.send_packed_command([_packed(command)])
            return await connection.read_response()
        finally:
            if self._closed:
                await connection.disconnect(nowait=True)
            else:
                self._free.append(connection)

    async def _turn(self) -> None:
        """Wait for a slot for as long as the server answers others: a queue in this process is no sign of
        a server that is down. Raises `TimeoutError` if it answers none within its time limit.
        """
        if not self._turns.locked():
            await self._turns.acquire()
            return
        while True:
            answered = self._answered
            try:
                async with asyncio.timeout(self._wait):
                    await self._turns.acquire()
            except TimeoutError:
                if self._answered == answered:
                    raise
            else:
                return

    async def memory(self) -> list[dict[str, Any]]:
        """Return the INFO output on memory of each server."""
        if self._clustered:
            told = await self._client.info("memory", target_nodes=redis.asyncio.RedisCluster.PRIMARIES)
            return list(told.values())
        return [await self._client.info("memory")]

    async def aclose(self) -> None:
        """Close the connections, those in use after their steps."""
        self._closed = True
        while self._free:
            with suppress(*ERRORS):  # dropped, however the server replies
                await self._free.pop().disconnect()
        # With Sentinel its clients too.
        manager = getattr(getattr(self._client, "connection_pool", None), "sentinel_manager", None)
        for one in (self._client, *(manager.sentinels if manager is not None else ())):
            with suppress(*ERRORS):
                await one.aclose()


class OfLoops:
    """`Async` servers for each event loop that uses them. Their connections end with the loop, or by `aclose`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        #: The servers of each loop, and the generator that closes them.
        self._open: dict[asyncio.AbstractEventLoop, tuple[Async, AsyncGenerator[Async, None]]] = {}

    async def here(self) -> Async:
        """Return the servers of the running loop."""
        loop = asyncio.get_running_loop()
        kept = self._open.get(loop)
        if kept is None:
            for other in list(self._open):
                if other.is_closed():  # the loop ended without a shutdown; the garbage collector closes its connections
                    self._open.pop(other, None)
            end = self._while_it_runs(loop)
            kept = self._open[loop] = await anext(end), end
        return kept[0]

    async def aclose(self) -> None:
        """Close the connections of the running loop; the next step opens new ones."""
        kept = self._open.get(asyncio.get_running_loop())
        if kept is not None:
            await kept[1].aclose()

    async def _while_it_runs(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Async, None]:
        # A generator, because event loops close the async generators that they started when they
        # shut down; no other hook exists.
        servers = Async(self._address)
        try:
            yield servers
        finally:
            self._open.pop(loop, None)
            await servers.aclose()


class _AsyncCluster(redis.asyncio.RedisCluster):
    ERRORS_ALLOW_RETRY = ()  # type: ignore[assignment]


def _client(address: Address, library: Any, retry: Any) -> Any:
    """Return a client of one server, or of the primary that the Sentinels name; `library` is
    redis-py's, blocking or async.
    """
    options = {**_options(address, retry), "db": address.db}
    if address.kind is Kind.SENTINEL:
        # Sentinels are queried one after the other, each with a short time-out.
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
        # With RESP3, push messages may arrive at any time, so unread data would say nothing about a connection.
        "protocol": 2,
        # Threads limit the connections of a blocking site; `Async` counts its own.
        "max_connections": 2**31,
    }
