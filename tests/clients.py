"""Common requests to a site over any carrier: a framework's test client, or real HTTP."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import urllib3


@dataclass(frozen=True)
class Answer:
    """A response; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    cookies: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def target(self) -> str:
        """Return path and query of the redirect."""
        url = urlsplit(self.headers["location"])
        return url.path + (f"?{url.query}" if url.query else "")

    @property
    def location(self) -> str:
        """Return path and query of the redirect, without the random id of a verification."""
        return re.sub(r"\?verification=[^&]*$|verification=[^&]*&", "", self.target)


class Carrier(Protocol):
    """Carry one request and keep cookies."""

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer: ...


class Browser:
    """A visitor: keeps cookies, sends JSON and forms."""

    def __init__(self, carrier: Carrier, mount: str = "/phone/") -> None:
        self._carrier, self._mount = carrier, mount

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        secret: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call the JSON API, below the mount."""
        sent = dict(headers or {})
        if secret is not None:
            sent["Verification-Secret"] = secret
        if document is not None:
            body = json.dumps(document).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        return self._carrier.send(method, self._mount + path, body or b"", sent)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Load a page, by its path on the host."""
        return self._carrier.send("GET", path, b"", headers or {})

    def post_form(self, path: str, **fields: str) -> Answer:
        """Submit a form of the page at `path`, with the page's hidden token."""
        page = self.get(path).text
        fields |= hidden_token(page)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://localhost{path}"}
        return self._carrier.send("POST", path.partition("?")[0], urlencode(fields).encode(), headers)

    def press(self, page: Answer, path: str, fields: Mapping[str, str], site: str = "same-origin") -> Answer:
        """Submit a form of a page that was loaded before, with its hidden fields, as a browser does."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": site}
        body = urlencode({**hidden_fields(page.text), **fields}).encode()
        return self._carrier.send("POST", path, body, headers)

    def follow(self, answer: Answer) -> Answer:
        """Load the page to which a form was redirected."""
        assert answer.status == 303, (answer.status, answer.text)
        return self.get(answer.target)


def reset(client: socket.socket) -> None:
    """Make the connection end with a reset when it is closed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def hidden_fields(page: str) -> dict[str, str]:
    """Return the token, and on the page of a code its verification."""
    found = re.search(r'name="verification" value="([^"]*)"', page)
    return {**hidden_token(page), **({"verification": found.group(1)} if found else {})}


def hidden_token(page: str) -> dict[str, str]:
    """Return the framework's CSRF token from the page."""
    names = "csrfmiddlewaretoken|csrf_token"
    tag = re.search(rf'<input[^>]*name="({names})"[^>]*>', page)
    if tag is None:
        return {}
    value = re.search(r'value="([^"]*)"', tag.group(0))
    return {tag.group(1): value.group(1) if value else ""}


class DjangoCarrier:
    """Django's test client with CSRF checks enabled."""

    def __init__(self) -> None:
        from django.test import Client

        self._client = Client(enforce_csrf_checks=True)

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        kind = headers.get("Content-Type", "")
        rest = {name: value for name, value in headers.items() if name != "Content-Type"}
        # Django's client omits the type of an empty body; a browser does not.
        extra = {"CONTENT_TYPE": kind} if kind and not body else {}
        response = self._client.generic(method, path, body, content_type=kind, headers=rest, **extra)
        content = response.content if not response.streaming else b"".join(response)
        cookies = {name: morsel.OutputString() for name, morsel in response.cookies.items()}
        return Answer(response.status_code, {k.lower(): v for k, v in response.items()}, content, cookies)


class AsyncDjangoCarrier:
    """Django's test client through its ASGI handler, with a new event loop for each request."""

    def __init__(self) -> None:
        from django.test import AsyncClient

        self._client = AsyncClient(enforce_csrf_checks=True)

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        from asgiref.sync import async_to_sync

        kind = headers.get("Content-Type", "")
        rest = {name: value for name, value in headers.items() if name != "Content-Type" or not body}
        self._client.cookies.load(rest.pop("Cookie", ""))

        async def respond() -> Any:
            return await self._client.generic(method, path, body, content_type=kind, headers=rest)

        # A new context, as under a server: one that every request was run in would grow.
        response = Context().run(async_to_sync(respond))
        cookies = {name: morsel.OutputString() for name, morsel in response.cookies.items()}
        return Answer(response.status_code, {k.lower(): v for k, v in response.items()}, response.content, cookies)


class FlaskCarrier:
    """Flask's test client."""

    def __init__(self, app: Any) -> None:
        self._client = app.test_client()

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        response = self._client.open(path, method=method, data=body, headers=dict(headers))
        cookies = {line.partition("=")[0]: line for line in response.headers.getlist("Set-Cookie")}
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.data, cookies)


class HttpCarrier:
    """Real HTTP to a server on this machine."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._pool = urllib3.PoolManager(timeout=30, retries=False)
        self._jar: dict[str, str] = {}

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        # A server closes idle connections; one closed just now would fail the request.
        sent = {"Connection": "close", **headers}
        if self._jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._jar.items())
        response = self._pool.request(method, self.base_url + path, body=body, headers=sent, redirect=False)
        cookies = {}
        for line in response.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                cookies[name] = line
                if morsel["max-age"] == "0" or not morsel.value:
                    self._jar.pop(name, None)
                else:
                    self._jar[name] = morsel.value
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.data, cookies)
