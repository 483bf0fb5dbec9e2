"""Requests and responses of drivers, as values without sockets.

A driver's method is a generator (`Exchange`) that yields `HttpRequest` (or `Notice` in the console
driver, `SiteCall` in that of a site's function, `SmppMessage` in that of SMPP), receives the
`HttpResponse`, and returns its result. A webhook is the opposite direction: a driver parses the
`WebhookRequest`. URLs, headers and bodies can contain credentials and codes, so none of them appears in
a repr.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=utf-8"
#: SMS.ru sends up to 100 events and their hash in one webhook.
_MOST_PARAMETERS = 128

_TOKEN = re.compile(r"[!-~]{1,8000}")


def is_token(text: str) -> bool:
    """Return whether `text` has the form of an access token that fits into a header unchanged."""
    return bool(_TOKEN.fullmatch(text))


#: Returns the headers that sign a request at this time, which the transport supplies: a driver holds no clock.
Sign = Callable[[datetime], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One complete HTTP request to a provider.

    `sign`, if set, adds headers that depend on the time of sending.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    sign: Sign | None = field(default=None, repr=False, compare=False)

    def signed(self, now: datetime) -> HttpRequest:
        """Return the request with the headers that sign it at this time, or itself if it is not signed."""
        if self.sign is None:
            return self
        return replace(self, headers={**self.headers, **self.sign(now)}, sign=None)

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
        return cls("POST", url, {"Content-Type": FORM, **(headers or {})}, body)


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


@dataclass(frozen=True, slots=True)
class SiteCall:
    """A call of the site's own function, which sends the order; the transport makes it.

    The response is 200 with the returned text as its body. An error of the function is unclear,
    unless it is a `ProviderError`: the message may be sent.
    """

    function: Callable[[Any], Any] = field(repr=False)
    order: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmppMessage:
    """One SMS for an SMSC; the transport connects, binds, submits it and unbinds.

    The response is 200 with a JSON object: `bind`, the command status of the bind, and if it is 0,
    `submit`, that of the message, with its `ids`, one for each part. An error before the message was
    submitted is a refusal; one afterwards is unclear.
    """

    host: str
    port: int
    tls: bool
    system_id: str = field(repr=False)
    password: str = field(repr=False)
    system_type: str
    sender: str
    #: Type of number and numbering plan of the sender.
    sender_type: tuple[int, int]
    number: str = field(repr=False)
    text: str = field(repr=False)
    validity_seconds: int


@dataclass(frozen=True, slots=True)
class RecallToken:
    """A request for the token that this driver stored under this name.

    No provider is involved: the response is 200 with the token as its body, or 404 if there is none
    or it has expired.
    """

    name: str


@dataclass(frozen=True, slots=True)
class StoreToken:
    """A request to keep a provider's token in this process until its lifetime ends.

    No provider is involved; the response is an empty 200.
    """

    name: str
    token: str = field(repr=False)
    lifetime: timedelta


#: What a transport sends.
Request = HttpRequest | Notice | SiteCall | SmppMessage
Exchange = Generator[Request | RecallToken | StoreToken, HttpResponse, T]


def cached_token(
    name: str, fetch: Callable[[], Exchange[tuple[str, timedelta]]], refused: Collection[str] = ()
) -> Exchange[str]:
    """Return the token kept under this name, or the one that `fetch` returns with its lifetime.

    A token that the provider has `refused` is replaced.
    """
    kept = yield RecallToken(name)
    token = kept.body.decode()
    if kept.status != HTTPStatus.OK or token in refused:
        token, lifetime = yield from fetch()
        yield StoreToken(name, token, lifetime)
    return token


def parameters_of(text: str) -> Sequence[tuple[str, str]]:
    """Return the parameters of a query or a form in order; none if there are more than a webhook can have."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="replace")
    except ValueError:
        return ()


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as received: all parameters of query and form in order, and the raw body.

    Header names are lower case. `url` is the webhook's public URL with its query, as the provider
    called it; empty if the site has no public URL. `received_at` is set before a driver parses it.
    """

    method: str
    parameters: Sequence[tuple[str, str]] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(default="", repr=False)
    received_at: datetime | None = None

    def once(self, *names: str) -> str | None:
        """Return the value of the parameter with one of these names, if it appears exactly once."""
        values = [value for name, value in self.parameters if name in names]
        return values[0] if len(values) == 1 and values[0] else None

    @property
    def form(self) -> Sequence[tuple[str, str]]:
        """The parameters of the form alone; none if the body is not a form."""
        is_form = self.headers.get("content-type", "").lower().startswith(FORM)
        return parameters_of(self.body.decode("utf-8", "replace")) if is_form else ()

    def json(self) -> Any:
        """Return the body as JSON, or None if it is not JSON, empty or nested too deeply."""
        return HttpResponse(HTTPStatus.OK, body=self.body).json()

    @property
    def repeats_a_name(self) -> bool:
        """Whether a parameter, or a member of an object in a JSON body, is repeated, read or not: the
        webhook is then ambiguous.
        """
        objects: list[list[str]] = []
        try:
            # The outermost object ends last.
            json.loads(self.body, object_pairs_hook=lambda members: objects.append([name for name, _ in members]))
        except (ValueError, RecursionError):
            objects.clear()
        outermost = objects.pop() if objects and self.body.lstrip().startswith(b"{") else []
        objects.append([*(name for name, _ in self.parameters), *outermost])
        return any(len(set(names)) < len(names) for names in objects)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The result of parsing a webhook whose signature is missing, wrong or too old.

    `reason` is for the log; it contains no value of the request.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """The text that a provider wants back: in response to a webhook that tests the URL, or to every one."""

    text: str = field(repr=False)
    content_type: str = TEXT


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """What a webhook caused: whether it verified a call, was rejected, reported a call whose attestation
    is not sufficient, or has no effect because the store is unavailable; and the response: `reply` as
    JSON, or else `text` of this `content_type`.
    """

    verified: bool = False
    rejected: bool = False
    unattested: bool = False
    unavailable: bool = False
    reply: Mapping[str, object] | None = None
    text: str = "OK"
    content_type: str = TEXT
