"""Endpoints: the URLs of a service that receive events, with their secrets."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import FieldFault, PlacedFault
from .addresses import is_loopback, is_number_like, is_public
from .messages import EVENTS, WebhookEvent

#: The bytes of a secret, by Standard Webhooks.
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
#: During a rotation two are in use; each adds a signature to every message.
MOST_SECRETS = 4
LONGEST_URL = 1000
#: The name of an endpoint that is given none.
DEFAULT_NAME = "main"
_PREFIX = "whsec_"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
#: Characters that the two versions of IDNA map to different names.
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
_FIELDS = ("name", "url", "secrets", "events", "unencrypted_on_this_machine_for_development")


class EndpointError(ValueError):
    """An endpoint that cannot work; `field` is the one to change. The message repeats no value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(PlacedFault(field, problem))
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that receives the events of a service.

    `secrets` are `whsec_…`, the newest first: a message is signed with each, so that a receiver can
    change from one to the next. `name` distinguishes the endpoints of a service and stays the same when
    the URL or the secrets change. Over `http://`, or to this machine, only with
    `unencrypted_on_this_machine_for_development`. Raises `EndpointError`.
    """

    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    events: Collection[WebhookEvent] = EVENTS
    name: str = DEFAULT_NAME
    unencrypted_on_this_machine_for_development: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise EndpointError(
                "name", FieldFault("write a lowercase letter, then up to 31 letters, digits and underscores")
            )
        _check_url(self.url, here=self.unencrypted_on_this_machine_for_development)
        if not self.secrets or len(self.secrets) > MOST_SECRETS:
            raise EndpointError(
                "secrets", FieldFault("write one to {most} secrets, the newest first", most=MOST_SECRETS)
            )
        if any(not _is_secret(secret) for secret in self.secrets):
            raise EndpointError(
                "secrets",
                FieldFault(
                    "write whsec_ and {least} to {most} random bytes in base64",
                    least=SHORTEST_SECRET,
                    most=LONGEST_SECRET,
                ),
            )
        if len(set(self.secrets)) < len(self.secrets):
            raise EndpointError("secrets", FieldFault("write each secret once"))
        if not self.events:
            raise EndpointError("events", FieldFault("write at least one event"))

    @property
    def host(self) -> str:
        """The host that receives the messages, in ASCII: the only part of the URL that may be logged."""
        return _ascii(urlsplit(self.url).hostname or "")

    @property
    def port(self) -> int:
        """The port of the URL or its scheme."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_encrypted(self) -> bool:
        """Whether the URL is https."""
        return urlsplit(self.url).scheme == "https"  # in lower case, as it was checked

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
        return _is_on_this_machine(self.host)

    @property
    def authority(self) -> str:
        """Host and port for the Host header; the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.is_encrypted else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The path and the query of the URL."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def place(self) -> str:
        """A digest of the URL, to detect that it was changed."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:22]


#: Returns the endpoints of a service; empty for an unknown one.
Endpoints = Callable[[str], Sequence[Endpoint]]


def no_endpoints(service: str) -> Sequence[Endpoint]:
    """Return no endpoint, for a ledger without webhooks."""
    return ()


def read_endpoints(values: object) -> tuple[Endpoint, ...]:
    """Return the endpoints of a list of mappings with the fields of `Endpoint`.

    Raises `EndpointError`; its field begins with the position, like `1.url`.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise EndpointError("webhooks", FieldFault("write a list of endpoints"))
    found: list[Endpoint] = []
    for position, value in enumerate(values):
        try:
            endpoint = _read(value)
            if any(endpoint.name == other.name for other in found):
                raise EndpointError("name", FieldFault("another endpoint of this service has the same name"))
        except EndpointError as error:
            raise EndpointError(f"{position}.{error.field}", error.problem) from None
        found.append(endpoint)
    return tuple(found)


def new_secret(urandom: Callable[[int], bytes]) -> str:
    """Return a new secret."""
    return _PREFIX + base64.b64encode(urandom(32)).decode()


def _read(value: object) -> Endpoint:
    if not isinstance(value, Mapping):
        raise EndpointError("url", FieldFault("write an endpoint with url and secrets"))
    if set(value) - set(_FIELDS):
        raise EndpointError("name", FieldFault("the fields of an endpoint are {words}", words=", ".join(_FIELDS)))
    given: dict[str, Any] = {name: value[name] for name in _FIELDS if name in value}
    for name in ("url", "name"):
        if not isinstance(given.get(name, ""), str):
            raise EndpointError(name, FieldFault("write a text"))
    if not isinstance(given.get(_FIELDS[-1], False), bool):
        raise EndpointError(_FIELDS[-1], FieldFault("write true or false"))
    given["secrets"] = _texts(given.get("secrets", ()), "secrets")
    if "events" in given:
        try:
            given["events"] = frozenset(WebhookEvent(name) for name in _texts(given["events"], "events"))
        except ValueError:
            raise EndpointError(
                "events", FieldFault("write some of {words}", words=", ".join(sorted(EVENTS)))
            ) from None
    return Endpoint(given.pop("url", ""), **given)


def _texts(value: object, field: str) -> tuple[str, ...]:
    texts = value if isinstance(value, Collection) and not isinstance(value, str | Mapping) else [None]
    if any(not isinstance(each, str) for each in texts):
        raise EndpointError(field, FieldFault("write a list of texts"))
    return tuple(texts)


def _check_url(url: str, *, here: bool) -> None:
    if len(url) > LONGEST_URL or not url.isprintable() or set(url) & set(' \\"<>^`{|}#'):
        raise EndpointError(
            "url",
            FieldFault("write a URL of at most {most} characters, without spaces, backslashes and #", most=LONGEST_URL),
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointError("url", FieldFault("write a URL like https://example.com/webhooks")) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError("url", FieldFault("write a URL like https://example.com/webhooks"))
    if "@" in parts.netloc:
        raise EndpointError("url", FieldFault("remove the user name and the password: messages are signed"))
    if not (parts.path + parts.query).isascii():
        raise EndpointError("url", FieldFault("percent-encode the path and the query"))
    host = _ascii(parts.hostname)
    if _is_on_this_machine(host):
        if not here:
            raise EndpointError(
                "url", FieldFault("write a public host; for development set {field}", field=_FIELDS[-1])
            )
        return
    _check_public(parts, host, port)


def _check_public(parts: SplitResult, host: str, port: int | None) -> None:
    if parts.scheme != "https":
        raise EndpointError("url", FieldFault("begin the URL with https://"))
    if port is not None and port != 443 and port < 1024:
        raise EndpointError("url", FieldFault("write port 443 or one from 1024 on"))
    is_address = ":" in host or host.replace(".", "").isdigit()
    if is_number_like(host) or (is_address and not is_public(host)):
        raise EndpointError("url", FieldFault("write a public host: private addresses receive nothing"))
    if not is_address and not (_HOST.fullmatch(host) and "." in host):
        raise EndpointError("url", FieldFault("write the full name of a public host, like example.com"))


def _is_on_this_machine(host: str) -> bool:
    return host == "localhost" or is_loopback(host)


def _ascii(host: str) -> str:
    host = host.lower().removesuffix(".")
    if host.isascii():
        return host
    if _AMBIGUOUS & set(host):
        raise EndpointError("url", FieldFault("write the host in its ASCII form, which begins with xn--"))
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        raise EndpointError("url", FieldFault("write the host in its ASCII form, which begins with xn--")) from None


def _is_secret(text: str) -> bool:
    if not text.startswith(_PREFIX):
        return False
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return False
    return SHORTEST_SECRET <= len(raw) <= LONGEST_SECRET
