"""The contract of a driver: a frozen value with its credentials, and methods that are generators of
HTTP requests.

A driver has no sockets, clock, settings or retry loop. A method yields an `HttpRequest`, is sent
the `HttpResponse`, and returns its result. It raises `ProviderError` if the provider definitely
refused (any HTTP status outside 2xx is a refusal), and `UnclearError` if a 2xx cannot be parsed.
Neither contains a code, a key, a full number or an address. If no response arrived, one of the two
is raised at the `yield`; a driver lets it propagate unless this request certainly could not have
sent anything.

A driver's features are declared by the roles it satisfies and by its abilities, one for each
channel.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, Self, runtime_checkable
from urllib.parse import quote, quote_plus, urlsplit

from ..errors import ConfigurationError, FailureKind, ProviderError, quoted
from ..exchange import Exchange, Rejected, WebhookReply, WebhookRequest, is_token
from ..model import (
    Channel,
    CodeSource,
    DeliveryReport,
    IncomingCall,
    Order,
    ProviderAccount,
    Receipt,
    Sighting,
)
from ..phone import PhoneNumber
from .options import COMMON_OPTIONS, Dsn, Option, is_loopback, one_of
from .reading import scrubbed

ANSWER_TIMEOUT = timedelta(seconds=10)

#: Of a credential inside of Base64, in characters.
_SHORTEST_FORM = 8

#: A driver's name is a segment of its webhook URL.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Ability:
    """What a driver can send on one channel, and its limits."""

    code_source: CodeSource
    #: Lengths of our codes that it can carry; None means unlimited.
    shortest: int | None = None
    longest: int | None = None
    #: Length of a provider-generated code, if it is fixed; an unknown one counts as short.
    fixed_length: int | None = None
    #: The provider's own lifetime of a code or line.
    cap: timedelta | None = None
    #: Whether an announcement answers the call to a line; otherwise the call is not answered, so it is free.
    announced: bool = False
    #: Whether the order names our webhook's URL.
    webhook_url: bool = False
    #: Whether its webhooks state the attestation of a call.
    attests: bool = False
    #: Whether its webhooks name a call by its reference alone, without the caller, so that each order
    #: must be found by it.
    by_reference: bool = False
    #: Whether the provider executes orders with the same `Order.key` once, so that one may be repeated.
    once_by_key: bool = False


@dataclass(frozen=True)
class Driver:
    """The base of all drivers. A subclass adds its credentials and options as fields, and
    implements its roles.

    `provider` is the provider's name, and `errors` its table of error codes, both for the
    documentation. `default_host` is the provider's host; None if it has none. `credential_forms` lists the
    fields that the credentials of a DSN fill, one tuple for each form. `calling_codes` is the
    provider's number plan: None is worldwide. `unserved_regions` are those where it documents that it
    delivers nothing, for the doctor: an order to one is still left to the provider. `signs_webhooks` is
    whether every webhook has a signature, without which `parse_webhook` rejects it; `names_site` whether
    a DSN names a function or file of the site, so that an example DSN cannot be loaded. A subclass
    rejects conflicting fields in `__post_init__`, by a ValueError that says how to fix them.
    """

    scheme: ClassVar[str]
    provider: ClassVar[str] = ""
    errors: ClassVar[Mapping[str, FailureKind]] = {}
    default_host: ClassVar[str | None] = None
    #: The host in the example DSNs: another one if each account at the provider has its own.
    example_host: ClassVar[str] = "default"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = ((),)
    options: ClassVar[Mapping[str, Option]] = {}
    calling_codes: ClassVar[frozenset[str] | None] = None
    unserved_regions: ClassVar[frozenset[str]] = frozenset()
    signs_webhooks: ClassVar[bool] = False
    names_site: ClassVar[bool] = False

    name: str
    base_url: str = field(repr=False)
    timeout: timedelta

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Return what it can send, by channel."""
        raise NotImplementedError

    def start(self, order: Order) -> Exchange[Receipt]:
        """Execute the order. Raises `ProviderError` or `UnclearError`."""
        raise NotImplementedError

    def reaches(self, phone: PhoneNumber) -> bool:
        """Return whether the provider's number plan contains this phone."""
        return self.calling_codes is None or phone.calling_code in self.calling_codes

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials that are set, by name."""
        return {name: value for form in self.credential_forms for name in form if (value := getattr(self, name))}

    @property
    def is_local(self) -> bool:
        """Return whether all its messages stay on this machine: they cost nothing and reach no
        phone.
        """
        return not self.base_url or is_loopback(urlsplit(self.base_url).hostname or "")

    def require_token(self, *names: str) -> None:
        """Raise ValueError if one of these credentials does not fit into a header unchanged."""
        for name in names:
            if not is_token(getattr(self, name)):
                raise ValueError(f"a {name} that is not printable ASCII without spaces cannot be sent in a header")

    @classmethod
    def example_dsns(cls, channel: Channel = Channel.SMS) -> Sequence[str]:
        """Return an example DSN of this driver for each form of its credentials, with the options that
        this channel needs.
        """
        needed = [
            f"{name}={option.example}"
            for name, option in cls.options.items()
            if option.required or channel in option.needed_for
        ]
        place = f"{cls.example_host}?{'&'.join(needed)}" if needed else cls.example_host
        return [
            f"{cls.scheme}://{':'.join(name.upper() for name in form)}@{place}" if form else f"{cls.scheme}://"
            for form in cls.credential_forms
        ]

    @classmethod
    def example(cls, dsn: Dsn) -> Driver:
        """Return a driver for the documentation, for one of the example DSNs."""
        return cls.from_dsn(dsn)

    @classmethod
    def from_dsn(cls, dsn: Dsn) -> Self:
        """Create the driver that a DSN describes. Raises `ConfigurationError` that names the
        setting and how to fix it.
        """
        setting = f"{dsn.setting} ({cls.scheme}://…)"
        values = cls._credentials(dsn, setting) | cls._options(dsn, setting)
        try:
            return cls(
                name=_name(dsn, setting, cls.scheme),
                base_url=cls._base_url(dsn, setting),
                timeout=_timeout(dsn, setting),
                **values,
            )
        except ConfigurationError:
            raise
        except ValueError as error:
            raise ConfigurationError(f"{setting}: {error}") from None

    def redact(self, words: object, *tokens: str) -> str:
        """Return the provider's text in a form safe for logs; providers do repeat a bad key in
        their response. Empty if it is not text.

        `tokens` are secrets in addition to the driver's own credentials.
        """
        if not isinstance(words, str):
            return ""
        secrets = {secret for secret in (*tokens, *self.credentials.values()) if secret}
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        # A spelling can be part of another one, which must be removed whole.
        for spelling in sorted(spellings, key=len, reverse=True):
            words = re.sub(re.escape(spelling), "…", words, flags=re.IGNORECASE)
        return scrubbed(words)

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
        known = [*cls.options, *COMMON_OPTIONS]
        for name in dsn.options:
            if name not in known:
                raise ConfigurationError(f"{setting}: unknown option {quoted(name)}; options: {', '.join(known)}")
        values = {}
        for name, option in cls.options.items():
            if option.required and name not in dsn.options:
                raise ConfigurationError(f"{setting}: option {name!r} is required: write ?{name}={option.example}")
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
            raise ConfigurationError(f"{setting}: write a host; this driver has no default")
        if tls == "off" and not is_loopback(host):
            raise ConfigurationError(f"{setting}: tls=off is for loopback hosts only (127.0.0.1, localhost, ::1)")
        scheme = "https" if tls == "on" else "http"
        place = f"[{host}]" if ":" in host else host
        port = f":{dsn.port}" if dsn.port else ""
        return f"{scheme}://{place}{port}{dsn.base_path.rstrip('/')}"


@dataclass(frozen=True)
class NationalDriver(Driver):
    """A driver whose provider documents only the numbers of one country.

    How the provider handles others is assumed, so the option `foreign` decides: `refuse` them
    before any request, or send their E.164 `digits` without plus. `trunk` is the provider's prefix
    of a national number.
    """

    trunk: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Option]] = {
        "foreign": Option(
            "refuse",
            one_of("refuse", "digits"),
            meaning="numbers of other countries: refuse them, or send their digits in E.164 without the plus",
        )
    }

    foreign: str

    def reaches(self, phone: PhoneNumber) -> bool:
        """Return whether the number belongs to the provider's country, or foreign ones are allowed."""
        return self.foreign == "digits" or super().reaches(phone)

    def written(self, phone: PhoneNumber) -> str:
        """Return the number in the provider's format. Raises `ProviderError` for one that is not
        reached.
        """
        if not self.reaches(phone):
            raise ProviderError(FailureKind.BAD_NUMBER, "outside the provider's country")
        return self.trunk + phone.national if super().reaches(phone) else phone.e164[1:]


def _name(dsn: Dsn, setting: str, scheme: str) -> str:
    name = dsn.options.get("name", scheme)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{setting}: option 'name': write up to 32 of a-z, 0-9, - and _")
    return name


def _timeout(dsn: Dsn, setting: str) -> timedelta:
    if "timeout" not in dsn.options:
        return ANSWER_TIMEOUT
    text = dsn.options["timeout"]
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text) or not 0 < float(text) <= 60:
        raise ConfigurationError(f"{setting}: option 'timeout': write seconds, more than 0 and at most 60")
    return timedelta(seconds=float(text))


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(secret.encode()).decode()
    yield from _inside_base64(secret.encode())


def _inside_base64(secret: bytes) -> Iterator[str]:
    """Yield a secret as it shows in the Base64 of a longer text, as in the header of basic
    authentication: without the characters at its edges that encode its neighbours too.

    The place in the text decides which of three forms that is. A short form is left out: it could be
    part of a word.
    """
    for bytes_before, edge in enumerate((0, 2, 3)):
        encoded = base64.b64encode(bytes(bytes_before) + secret).decode()
        form = encoded[edge:-1].rstrip("=")[:-1] if encoded.endswith("=") else encoded[edge:]
        if len(form) >= _SHORTEST_FORM:
            yield form


@dataclass(frozen=True, slots=True)
class OrderQuestion:
    """A provider's question by webhook whether it may carry an order, and the two possible replies.

    `key` is the order's; the replies are JSON documents.
    """

    key: str = field(repr=False)
    phone: PhoneNumber | None
    allow: Mapping[str, object]
    deny: Mapping[str, object]


#: What one webhook reports.
Event = IncomingCall | DeliveryReport
ParsedWebhook = Event | tuple[Event, ...] | OrderQuestion | WebhookReply | Rejected | None


class Carrier(Protocol):
    """The interface that the verifier requires of every driver."""

    @property
    def name(self) -> str: ...
    @property
    def timeout(self) -> timedelta: ...
    @property
    def abilities(self) -> Mapping[Channel, Ability]: ...
    def reaches(self, phone: PhoneNumber) -> bool: ...


@runtime_checkable
class Starts(Carrier, Protocol):
    """Executes an order: sends the code, places the call, or provides the line to call."""

    def start(self, order: Order) -> Exchange[Receipt]:
        """Execute the order. Raises `ProviderError` or `UnclearError`."""
        ...


@runtime_checkable
class LeasesLines(Carrier, Protocol):
    """Has lines of the site's own, each of which serves one claim at a time."""

    @property
    def pool(self) -> Sequence[PhoneNumber]:
        """The lines. An order for an inbound call has one of them, which its claim has leased."""
        ...


@runtime_checkable
class Retries(Carrier, Protocol):
    """Has a separate request for resending; without this role a resend is another start."""

    def retry(self, order: Order, reference: str) -> Exchange[Receipt]:
        """Execute the order again, after the one with this reference."""
        ...


@runtime_checkable
class Polls(Carrier, Protocol):
    """Can query whether the call has arrived."""

    def poll(self, reference: str) -> Exchange[Sighting]:
        """Query the call; the caller is returned in E.164 by the provider's number plan, and
        compared by the core.
        """
        ...


@runtime_checkable
class ReadsWebhooks(Carrier, Protocol):
    """Parses the provider's webhooks, which report calls or deliveries, or ask about an order."""

    def parse_webhook(self, request: WebhookRequest) -> ParsedWebhook:
        """Return the event that this webhook reports, a tuple of them if it reports several, or None
        if it reports nothing meaningful.

        `Rejected` if the provider signs its webhooks and did not sign this one, or signed it too
        long before `request.received_at`.
        """
        ...


@runtime_checkable
class NamesParameters(Carrier, Protocol):
    """Declares which parameters a readable webhook has, so that others can be reported."""

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The required parameters, each as a list of alternative names."""
        ...


@runtime_checkable
class AnswersWebhooks(Carrier, Protocol):
    """Its provider acts by the response to a webhook, or repeats the webhook unless it is this text; for
    others it is `OK`.
    """

    @property
    def webhook_answer(self) -> str | WebhookReply: ...


@runtime_checkable
class ChecksRemotely(Carrier, Protocol):
    """Sends codes that the provider itself checks."""

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        """Return whether the code of the order with this reference is right. Raises `ProviderError` or
        `UnclearError` if the provider gives no verdict.
        """
        ...


@runtime_checkable
class ClosesOrders(Carrier, Protocol):
    """Reports to the provider what became of an order whose code is checked here."""

    def close(self, reference: str, *, verified: bool) -> Exchange[None]:
        """Report that the order with this reference has verified the phone, or that the verification
        was cancelled. Raises `ProviderError` or `UnclearError`.

        Must not end a code of another verification of the same phone.
        """
        ...


@runtime_checkable
class SendsNotices(Carrier, Protocol):
    """Sends an SMS text without a code; drivers of providers with templates cannot."""

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]: ...


@runtime_checkable
class TakesUserTokens(Carrier, Protocol):
    """Sends with the user's own token at the provider, if an order has one; no other driver
    receives such a token.
    """

    @property
    def takes_user_tokens(self) -> bool: ...


@runtime_checkable
class TakesOptions(Carrier, Protocol):
    """Accepts options with an order, from server code; no other driver receives them."""

    @property
    def order_options(self) -> Mapping[str, Option]:
        """The options by name; `read` raises ValueError saying what to write."""
        ...

    def kept_options(self, reference: str) -> Mapping[str, Any]:
        """Return the options of the order with this reference, for a resend."""
        ...


@runtime_checkable
class ReportsDelivery(Carrier, Protocol):
    """Can query the delivery of an order."""

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Return the delivery status of the order with this reference. Raises `ProviderError` or
        `UnclearError`.
        """
        ...


@runtime_checkable
class ReportsAccount(Carrier, Protocol):
    """Can query the site's account without sending anything, which shows whether the credential
    works.
    """

    def account(self) -> Exchange[ProviderAccount]:
        """Return the account of the credential. Raises `ProviderError` (configuration: it does not
        work) or `UnclearError`.
        """
        ...


@runtime_checkable
class ReportsMissing(Carrier, Protocol):
    """Can query whether the site's account at the provider is set up for sending."""

    def missing(self) -> Exchange[str]:
        """Return what the account lacks, as a clause for the site's owner; empty if nothing. Nothing
        is sent. Raises `ProviderError` or `UnclearError`.
        """
        ...
