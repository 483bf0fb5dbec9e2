"""A sandbox with a manual clock, random source and waits."""

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client

from phone_verify.sandbox import Network, Sandbox
from phone_verify.sandbox.webhooks import Hook, Reply


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network(clock: Clock) -> Network:
    return Network(now=clock, chance=random.Random(7))


@pytest.fixture
def pauses() -> list[float]:
    """The waits of the sandbox."""
    return []


@pytest.fixture
def asked() -> list[str]:
    """The requested webhook URLs."""
    return []


@pytest.fixture
def hooks() -> list[Hook]:
    """The requests to webhooks, as they were sent."""
    return []


@pytest.fixture
def replies() -> list[Reply | None]:
    """The site's next responses to questions of providers; None without any."""
    return []


@pytest.fixture
def planned() -> list[tuple[float, Callable[[], object]]]:
    """The automatic actions of handsets, with their delay in seconds."""
    return []


@pytest.fixture
def sandbox(
    network: Network,
    pauses: list[float],
    asked: list[str],
    hooks: list[Hook],
    replies: list[Reply | None],
    planned: list[tuple[float, Callable[[], object]]],
) -> Iterator[Sandbox]:
    def ask_url(hook: Hook) -> int:
        asked.append(hook.url)
        hooks.append(hook)
        return 200

    def ask_site(hook: Hook) -> Reply | None:
        hooks.append(hook)
        return replies.pop(0) if replies else None

    def later(seconds: float, action: Callable[[], object]) -> None:
        planned.append((seconds, action))

    sandbox = Sandbox(network, pause=pauses.append, ask_url=ask_url, ask_site=ask_site, later=later)
    yield sandbox
    sandbox.close()


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox)


class _Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


@pytest.fixture
def site() -> Iterator[tuple[str, list[str]]]:
    """A site with a webhook: its URL, and the requests to it."""
    heard: list[str] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        heard.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        if environ["PATH_INFO"] == "/moved":
            start_response("302 Found", [("Location", "/hook")])
            return []
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"OK"]

    site = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=site.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{site.server_port}", heard
    site.shutdown()
    thread.join()
    site.server_close()
