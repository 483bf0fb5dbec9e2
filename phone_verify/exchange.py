"""Requests and responses of drivers, as values without sockets.

A driver's method is a generator (`Exchange`) that yields `HttpRequest` (or, in the console driver,
`Notice`), receives the `HttpResponse`, and returns its result. URLs, headers and bodies can contain
credentials and codes, so none of them appears in a repr.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

T = TypeVar("T")

_TOKEN = re.compile(r"[!-~]{1,8000}")


def is_token(text: str) -> bool:
    """Return whether `text` has the form of an access token that fits into a header unchanged."""
    return bool(_TOKEN.fullmatch(text))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One complete HTTP request to a provider."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Host and port of the request: the only part of the URL that may be logged."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @classmethod
    def get(
        cls, url: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpRequest:
        """Return a GET request with `query` percent-encoded in the URL."""
        return cls("GET", f"{url}?{urlencode(query)}" if query else url, {**(headers or {})})

    @classmethod
    def post_json(
        cls, url: str, document: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> HttpRequest:
        """Return a POST request with one JSON object."""
        body = json.dumps(document, ensure_ascii=False).encode()
        return cls("POST", url, {"Content-Type": "application/json", **(headers or {})}, body)

    @classmethod
    def post_form(cls, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> HttpRequest:
        """Return a POST request with an HTML form in UTF-8."""
        body = urlencode(fields).encode()
        return cls("POST", url, {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}, body)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The provider's response. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is 2xx; a redirect is not, and is never followed."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body as JSON, or None if it is not JSON, empty or nested too deeply."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Notice:
    """A text for the developer's terminal; the transport prints it to standard error.

    The other fields are for tests that intercept it: the full number, the message, the code. They
    are never printed.
    """

    text: str = field(repr=False)
    phone: str = field(default="", repr=False)
    message: str = field(default="", repr=False)
    code: str = field(default="", repr=False)


Exchange = Generator[HttpRequest | Notice, HttpResponse, T]
