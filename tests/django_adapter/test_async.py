"""Under ASGI the API is awaited with every store; under WSGI it stays blocking."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connections
from django.db.backends.signals import connection_created
from django.test import AsyncClient, Client
from django.urls import resolve

from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.testing.transport import FakeTransport
from phone_verify_django import api_views
from phone_verify_django import site as django_site
from phone_verify_django.models import VerificationRow
from phone_verify_django.site import can_await
from phone_verify_django.testing import override

from .conftest import PHONE, Network

START = "/phone/v1/verifications"


class Watched(FakeTransport):
    """A server that calls a function at each request before it responds."""

    def __init__(self, meanwhile: Callable[[], Coroutine[Any, Any, object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        await self._meanwhile()
        return await super().send(request, timeout)


def started(client: AsyncClient | Client) -> Any:
    return client.post(START, {"phone": PHONE}, content_type="application/json")


async def suspends() -> None:
    await asyncio.sleep(0)


def awaited_start() -> Any:
    async def respond() -> Any:
        return await started(AsyncClient())

    return async_to_sync(respond)()


@pytest.mark.django_db
def test_asgi_blocks_no_thread_on_the_provider() -> None:
    with override(transport=Watched(suspends)):
        assert awaited_start().status_code == 201


@pytest.mark.django_db
def test_wsgi_has_no_event_loop(client: Client) -> None:
    async def look() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()

    with override(transport=Watched(look)):
        assert started(client).status_code == 201


@pytest.mark.django_db
def test_missing_async_extra_uses_a_thread_and_is_logged(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(django_site, "find_spec", lambda name: None)
    can_await.cache_clear()
    try:
        for _ in range(2):
            assert awaited_start().status_code == 201
    finally:
        can_await.cache_clear()
    assert caplog.text.count("phone-verify[async]") == 1


class Visit:
    """A start at Django's real ASGI application, which gives each request a separate thread."""

    def __init__(self) -> None:
        self._body = json.dumps({"phone": PHONE}).encode()
        length = b"%d" % len(self._body)
        headers = [(b"host", b"testserver"), (b"content-type", b"application/json"), (b"content-length", length)]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": START,
                 "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": None}  # fmt: skip
        self._application = ApplicationCommunicator(get_asgi_application(), scope)

    async def begin(self) -> None:
        await self._application.send_input({"type": "http.request", "body": self._body})

    async def leave(self) -> None:
        await self._application.send_input({"type": "http.disconnect"})
        await self._application.wait()

    async def status(self) -> int:
        found: int = (await self._application.receive_output(10))["status"]
        await self._application.receive_output(10)
        await self._application.wait()
        return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("max_age", "kept"), [(0, False), (60, True)])
def test_few_threads_hold_connections_for_many_requests(
    monkeypatch: pytest.MonkeyPatch, max_age: int, kept: bool
) -> None:
    """None in the thread that Django gives to the request; in ours as CONN_MAX_AGE says."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", max_age)
    held, connected = [], []

    def open_here() -> bool:
        return any(each.connection is not None for each in connections.all(initialized_only=True))

    def note(**_: object) -> None:
        connected.append(threading.current_thread().name)

    async def look() -> None:
        held.append((await sync_to_async(open_here)(), await asyncio.to_thread(open_here)))

    async def visit() -> int:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, "ours"))
        visit = Visit()
        await visit.begin()
        status = await visit.status()
        await asyncio.to_thread(connections.close_all)
        return status

    connection_created.connect(note)
    try:
        with override(transport=Watched(look)):
            assert asyncio.run(visit()) == 201
    finally:
        connection_created.disconnect(note)
    assert held == [(False, kept)]
    assert set(connected) == {"ours_0"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("opens", [False, True])
def test_thread_without_connection_is_not_asked_for_one(monkeypatch: pytest.MonkeyPatch, opens: bool) -> None:
    """The thread of a request without one is not asked for each step: that costs a thread switch."""
    asked, run_there = [], django_site._in_request_thread

    async def ask(step: Callable[[], Any]) -> Any:
        results = await run_there(step)
        asked.append(bool(results))
        return results

    async def connect() -> None:
        if opens:
            await sync_to_async(lambda: connections["default"].ensure_connection())()

    async def visit() -> int:
        visit = Visit()
        await visit.begin()
        status = await visit.status()
        await asyncio.to_thread(connections.close_all)
        return status

    monkeypatch.setattr(django_site, "_in_request_thread", ask)
    with override(transport=Watched(connect)):
        assert asyncio.run(visit()) == 201
    assert asked == ([True] if opens else []), "the receipt is written after the provider's response"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("store", ["orm:", "sqlite:///{}/verifications.sqlite3"])
def test_disconnected_visitor_does_not_delay_the_next(settings: Any, store: str, tmp_path: Path) -> None:
    settings.PHONE_VERIFY = {"sms": "console://", "store": store.format(tmp_path)}
    asked, cancelled = asyncio.Event(), []

    async def first_hangs() -> None:
        if asked.is_set():
            return
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def visits() -> int:
        leaving, staying = Visit(), Visit()
        await leaving.begin()
        await asyncio.wait_for(asked.wait(), 10)
        await leaving.leave()
        await staying.begin()
        return await staying.status()

    transport = Watched(first_hangs)
    with override(transport=transport):
        assert asyncio.run(visits()) == 201
    assert cancelled == [True]
    assert len(transport.notices) == 1
    if store == "orm:":  # the interrupted start left a harmless record, and the second one is separate
        assert sorted(VerificationRow.objects.values_list("status", flat=True)) == ["pending", "sent"]


@pytest.mark.parametrize("in_task", [True, False])
def test_only_a_task_is_given_the_async_view(in_task: bool) -> None:
    """Browser drivers keep an event loop in the test's thread, where blocking calls must still work."""
    found = []

    async def in_a_loop() -> None:
        if in_task:
            found.append(resolve(START).func)
            return
        asyncio.get_running_loop().call_soon(lambda: found.append(resolve(START).func))
        await asyncio.sleep(0)

    asyncio.run(in_a_loop())
    assert found == [api_views.aapi if in_task else api_views.api]
    assert resolve(START).func is api_views.api
    assert resolve(START).view_name == "phone_verify:api"


@pytest.mark.django_db(transaction=True)
def test_stream_keeps_no_thread_and_no_connection() -> None:
    """Its reads run in the worker threads of the event loop."""

    def connect() -> str:
        connections["default"].ensure_connection()
        return threading.current_thread().name

    def is_alive(name: str) -> bool:
        return name in {thread.name for thread in threading.enumerate()}

    async def visit() -> None:
        async with ThreadSensitiveContext():
            name = await sync_to_async(connect)()
            closed = await sync_to_async(lambda: connections["default"])()
            await django_site.release_thread()
            assert closed.connection is None
            end = asyncio.get_running_loop().time() + 10
            while is_alive(name) and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.01)
            assert not is_alive(name)
            await django_site._in_thread(connect)
            assert not SyncToAsync.context_to_thread_executor
        await asyncio.to_thread(connections.close_all)

    asyncio.run(visit())
