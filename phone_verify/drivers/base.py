"""What a driver is: a frozen value with its credentials, and methods that are generators of HTTP requests.

No sockets, clock, settings or retry loop in a driver. A method yields an `HttpRequest`, is sent the
`HttpResponse`, and returns its result. It raises `ProviderError` where the provider definitely refused (any
HTTP status outside 2xx is a refusal), and `UnclearError` where a 2xx cannot be read. Neither says a code, a
key, a full number or an address.

What a driver can do is told by the roles it satisfies, and by its abilities, one for each channel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from ..errors import ConfigurationError, ProviderError, Trouble
from ..exchange import Exchange, HttpResponse
from ..model import Channel, Event, Holder, Order, Receipt, Sighting
from ..phone import PhoneNumber

ANSWER_TIMEOUT = timedelta(seconds=10)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_DETAIL_LONGEST = 200
_SPOKEN = re.compile(r"[^\w .,:;()!?'/-]", re.UNICODE)
_DIGIT_RUNS = re.compile(r"\d{3,}")


@dataclass(frozen=True, slots=True)
class Ability:
    """What a driver can carry on one channel, and within which bounds."""

    holder: Holder
    #: Lengths of our codes it can carry; None is no bound.
    shortest: int | None = None
    longest: int | None = None
    #: Length of a told or remote code, where it is known beforehand; an unknown one counts as short.
    known: int | None = None
    #: The provider's own life of a code or line.
    cap: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A DSN option: how its text is read, and the value without it. `read` raises ValueError saying what to write."""

    default: Any
    read: Callable[[str], Any] = str


def flag(text: str) -> bool:
    """Read `on` or `off`."""
    if text not in ("on", "off"):
        raise ValueError("write on or off")
    return text == "on"


def one_of(*words: str) -> Callable[[str], str]:
    """Read one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of: {', '.join(words)}")
        return text

    return read


def path(text: str) -> str:
    """Read an absolute path of a URL."""
    if not re.match(r"/[!-~]*\Z", text):
        raise ValueError("write a path that begins with /")
    return text


@dataclass(frozen=True, slots=True)
class Dsn:
    """A driver's DSN, taken apart. `host` is None for the provider's own."""

    scheme: str
    credentials: Sequence[str] = field(default=(), repr=False)
    host: str | None = None
    port: int | None = None
    base_path: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    setting: str = "DSN"


_COMMON = ("tls", "timeout", "name")


@dataclass(frozen=True)
class Driver:
    """What all drivers have. A subclass adds its credentials and options as fields, and the roles it plays.

    `hosts` names the provider's own hosts; the first is the default. `credential_forms` lists the fields that the
    credentials of a DSN fill, one tuple for each form. `calling_codes` is the provider's number plan: None is the
    world.
    """

    scheme: ClassVar[str]
    default_host: ClassVar[str | None] = None
    credential_forms: ClassVar[Sequence[Sequence[str]]] = ((),)
    options: ClassVar[Mapping[str, Option]] = {}
    calling_codes: ClassVar[frozenset[str] | None] = None
    signs_webhooks: ClassVar[bool] = False
    tells_cost: ClassVar[bool] = False

    name: str
    base_url: str = field(repr=False)
    timeout: timedelta

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """What it can carry, channel by channel."""
        raise NotImplementedError

    def reaches(self, phone: PhoneNumber) -> bool:
        """Whether the provider's number plan has this phone."""
        return self.calling_codes is None or phone.calling_code in self.calling_codes

    @classmethod
    def from_dsn(cls, dsn: Dsn) -> Self:
        """The driver that a DSN describes. Raises `ConfigurationError` that names the setting and what to write."""
        setting = f"{dsn.setting} ({cls.scheme}://…)"
        values = cls._credentials(dsn, setting) | cls._options(dsn, setting)
        return cls(
            name=dsn.options.get("name", cls.scheme),
            base_url=cls._base_url(dsn, setting),
            timeout=_timeout(dsn, setting),
            **values,
        )

    @classmethod
    def _credentials(cls, dsn: Dsn, setting: str) -> dict[str, Any]:
        for form in cls.credential_forms:
            if len(form) == len(dsn.credentials) and all(dsn.credentials):
                return dict(zip(form, dsn.credentials, strict=True))
        forms = " or ".join(
            ":".join(name.upper() for name in form) + "@" if form else "none" for form in cls.credential_forms
        )
        raise ConfigurationError(f"{setting}: the credentials before the host must be {forms}, percent-encoded")

    @classmethod
    def _options(cls, dsn: Dsn, setting: str) -> dict[str, Any]:
        known = [*cls.options, *_COMMON]
        for name in dsn.options:
            if name not in known:
                raise ConfigurationError(f"{setting}: unknown option {name!r}; it knows: {', '.join(known)}")
        values = {}
        for name, option in cls.options.items():
            try:
                values[name] = option.read(dsn.options[name]) if name in dsn.options else option.default
            except ValueError as error:
                raise ConfigurationError(f"{setting}: option {name!r}: {error}") from None
        return values

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        tls = dsn.options.get("tls", "on")
        if tls not in ("on", "off"):
            raise ConfigurationError(f"{setting}: option 'tls': write on or off")
        host = dsn.host or cls.default_host
        if host is None:
            raise ConfigurationError(f"{setting}: write a host; this driver has no default one")
        if tls == "off" and host not in LOOPBACK:
            raise ConfigurationError(f"{setting}: tls=off is for loopback hosts only (127.0.0.1, localhost, ::1)")
        scheme = "https" if tls == "on" else "http"
        place = f"[{host}]" if ":" in host else host
        port = f":{dsn.port}" if dsn.port else ""
        return f"{scheme}://{place}{port}{dsn.base_path.rstrip('/')}"


def _timeout(dsn: Dsn, setting: str) -> timedelta:
    text = dsn.options.get("timeout", "")
    if not text:
        return ANSWER_TIMEOUT
    if not re.match(r"[0-9]{1,2}(\.[0-9]{1,3})?\Z", text) or not 0 < float(text) <= 60:
        raise ConfigurationError(f"{setting}: option 'timeout': write seconds, more than 0 and at most 60")
    return timedelta(seconds=float(text))


class Carrier(Protocol):
    """What the verifier knows of every driver, whatever it can do."""

    @property
    def name(self) -> str: ...
    @property
    def timeout(self) -> timedelta: ...
    @property
    def abilities(self) -> Mapping[Channel, Ability]: ...
    def reaches(self, phone: PhoneNumber) -> bool: ...


@runtime_checkable
class Starts(Carrier, Protocol):
    """Carries an order: sends the code, places the call, or names the line to call."""

    def start(self, order: Order) -> Exchange[Receipt]:
        """Carry the order. Raises `ProviderError` or `UnclearError`."""
        ...


@runtime_checkable
class Retries(Carrier, Protocol):
    """Has a request of its own for "again"; without this role a resend is another start."""

    def retry(self, order: Order, reference: str) -> Exchange[Receipt]:
        """Carry the order again, after the one with this reference."""
        ...


@runtime_checkable
class Polls(Carrier, Protocol):
    """Can be asked whether the call has come."""

    def poll(self, reference: str) -> Exchange[Sighting]:
        """Ask; the caller comes back in E.164 by the provider's number plan, and is compared by the core."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it came in: every parameter of query and form in order, and the raw bytes."""

    method: str
    parameters: Sequence[tuple[str, str]] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def once(self, *names: str) -> str | None:
        """The value of the parameter known under these names, or None if it is absent, empty or repeated."""
        values = [value for name, value in self.parameters if name in names]
        return values[0] if len(values) == 1 and values[0] else None


@runtime_checkable
class ReadsWebhooks(Carrier, Protocol):
    """Is told of calls by the provider's webhook."""

    def read(self, request: WebhookRequest) -> Event | None:
        """The event this webhook reports, or None if it reports none that could prove anything."""
        ...


@runtime_checkable
class ChecksRemotely(Carrier, Protocol):
    """Sends codes that the provider itself checks."""

    def check(self, phone: PhoneNumber, code: str) -> Exchange[bool]:
        """Whether the code is right. Raises `ProviderError` or `UnclearError` where the provider cannot say."""
        ...


def scrubbed(text: object) -> str:
    """A provider's own words, fit for a log: one short line, and no run of digits longer than two."""
    return _DIGIT_RUNS.sub("…", _SPOKEN.sub(" ", str(text))).strip()[:_DETAIL_LONGEST]


def trouble_of_status(response: HttpResponse) -> ProviderError:
    """What an HTTP status outside 2xx means where the provider says no more."""
    match response.status:
        case 401 | 403:
            trouble = Trouble.CONFIGURATION
        case 402:
            trouble = Trouble.BALANCE
        case 429:
            trouble = Trouble.RATE
        case status if status >= 500:
            trouble = Trouble.TRANSIENT
        case _:
            trouble = Trouble.UNKNOWN
    return ProviderError(trouble, f"HTTP {response.status}")
