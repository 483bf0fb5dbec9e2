"""One record per finished operation, for logs, metrics and listeners.

A record goes to the logger `phone_verify.events` at INFO, complete in `record.phone_verify`; to
every listener; and to OpenTelemetry if its API is installed. Names and values are stable, and no
record holds a code, a secret or a number: a phone is represented by its masked hint and its tag.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from ..codes import TAG_LENGTH
from ..exchange import WebhookResult
from ..lines import served_by
from ..model import Outcome, Receipt, Redeemed, Verification

if TYPE_CHECKING:
    from ..ledger.values import Alarm

log = logging.getLogger("phone_verify")
events_log = logging.getLogger("phone_verify.events")

OK = "ok"
#: The outcome of an operation that failed because of the store or a bug.
UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class VerificationEvent:
    """One finished operation.

    `verb` is one of start, resend, check, poll, receive, cancel, redeem, or `short_codes_off`, `alarm` and
    `ledger_failed`; `outcome` is `ok`, `unavailable`, or a value of `Reason`, of an alarm its level (50, 80
    or 100), and of a failure the step of the ledger. Unknown fields are None: an operation
    on an unknown verification has no channel. Durations are seconds; `provider_seconds` is the part
    of `seconds` spent on providers. `parts` (SMS segments), `price` (a decimal number as text, which
    JSON keeps exact) and `currency` are those of the order, if the provider reported them. `route` is
    the number of the routing rule and why its first driver was first: `2:weight`. `access_key` is the id
    of the access key with which another program made the request. `fraud` is the score of the fraud guard, its
    verdict and its reasons: `70:refused:conversion,network`.
    """

    verb: str
    outcome: str
    channel: str | None = None
    driver: str | None = None
    purpose: str | None = None
    status: str | None = None
    phone: str | None = None
    tag: str | None = None
    seconds: float = 0.0
    provider_seconds: float = 0.0
    parts: int | None = None
    price: str | None = None
    currency: str | None = None
    route: str | None = None
    service: str | None = None
    access_key: str | None = None
    fraud: str | None = None
    alarm: Alarm | None = None

    def __str__(self) -> str:
        values = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        del values["verb"], values["outcome"]
        for name in ("seconds", "provider_seconds"):
            values[name] = format(values[name], ".3f")
        return f"{self.verb} {self.outcome} " + " ".join(f"{name}={value!s}" for name, value in values.items())


#: Called for every finished operation.
Listener = Callable[[VerificationEvent], object]


@dataclass(frozen=True, slots=True)
class FilteredListener:
    """A listener of some events only: `accepts` returns whether it receives those of a verb and an outcome.

    An event that no listener accepts is not built, so `accepts` is called for each operation and must be cheap.
    """

    listener: Listener
    accepts: Callable[[str, str], bool]

    def __call__(self, event: VerificationEvent) -> None:
        """Call the listener."""
        self.listener(event)


class Telemetry(Protocol):
    """Measures and traces operations, if the site has configured that."""

    @property
    def on(self) -> bool: ...
    def span(self, verb: str) -> AbstractContextManager[object]: ...
    def count(self, event: VerificationEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class EventBus:
    """Dispatches records to the log, the listeners and the telemetry.

    A failing listener is logged and stops nothing.
    """

    listeners: Sequence[Listener] = ()
    telemetry: Telemetry | None = None

    @property
    def has_listeners(self) -> bool:
        """Whether any listener is active, for some events at least."""
        return bool(self.listeners) or self._receives_all

    def accepts(self, verb: str, outcome: str) -> bool:
        """Return whether a record of this verb and outcome has a receiver. If not, it need not be built."""
        return self._receives_all or any(_accepts(listener, verb, outcome) for listener in self.listeners)

    def span(self, verb: str) -> AbstractContextManager[object]:
        """Return the context manager in which an operation runs."""
        return self.telemetry.span(verb) if self.telemetry is not None and self._measured else nullcontext()

    def emit(self, event: VerificationEvent) -> None:
        """Send a record to the log, the listeners and the telemetry."""
        if events_log.isEnabledFor(logging.INFO):
            events_log.info("%s", event, extra={"phone_verify": asdict(event)})
        measures = [self.telemetry.count] if self.telemetry is not None and self._measured else []
        accepting = [each for each in self.listeners if _accepts(each, event.verb, event.outcome)]
        for listener in [*accepting, *measures]:
            try:
                listener(event)
            except Exception:  # a listener is external code, and must not break a login
                log.exception("a listener of phone_verify's events failed")

    @property
    def _receives_all(self) -> bool:
        return events_log.isEnabledFor(logging.INFO) or self._measured

    @property
    def _measured(self) -> bool:
        return self.telemetry is not None and self.telemetry.on


def _accepts(listener: Listener, verb: str, outcome: str) -> bool:
    return not isinstance(listener, FilteredListener) or listener.accepts(verb, outcome)


def outcome_of(result: object) -> str:
    """Return the `outcome` of an operation that returned `result`."""
    match result:
        case Outcome(reason=reason):
            return OK if reason is None else reason.value
        case Redeemed():
            return OK
        case WebhookResult():
            outcome = "rejected" if result.rejected else "not_attested" if result.unattested else "no_effect"
            return OK if result.verified else UNAVAILABLE if result.unavailable else outcome
        case None:
            return "invalid_proof"
        case _:
            raise TypeError(f"unexpected result type {type(result).__name__}")


def facts_of(result: object) -> dict[str, Any]:
    """Return the fields of an event that come from the result of its operation."""
    match result:
        case Outcome(verification=Verification() as record):
            return _facts(record)
        case Redeemed():
            return {
                "channel": str(result.channel),
                "purpose": result.purpose,
                "service": result.service,
                "phone": result.phone.hint,
                "tag": result.verification_id[:TAG_LENGTH],
            }
        case _:
            return {}


def _facts(record: Verification) -> dict[str, Any]:
    channel, driver = served_by(record)
    return {
        "channel": str(channel),
        "driver": driver,
        "purpose": record.purpose,
        "service": record.service,
        "status": record.state.value,
        "phone": record.phone.hint,
        "tag": record.tag,
    }


@dataclass(slots=True)
class ProviderUse:
    """The time that one operation spent on providers, and the route and the receipt of its order.

    As a context manager it collects what is passed to `record_provider_time`, `record_route` and `record_receipt`.
    """

    seconds: float = 0.0
    receipt: Receipt = field(default_factory=Receipt)
    route: str | None = None
    fraud: str | None = None
    _before: Token[ProviderUse | None] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> ProviderUse:
        self._before = _provider_use.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            _provider_use.reset(self._before)

    def facts(self) -> dict[str, Any]:
        """Return the fields of an event: time, segments, price, route and the decision of the fraud guard."""
        return {
            "provider_seconds": self.seconds,
            "parts": self.receipt.parts,
            "price": None if self.receipt.price is None else f"{self.receipt.price:f}",
            "currency": self.receipt.currency,
            "route": self.route,
            "fraud": self.fraud,
        }


#: The current operation's use of providers. A context variable, so that concurrent operations do
#: not mix.
_provider_use: ContextVar[ProviderUse | None] = ContextVar("phone_verify_provider_use", default=None)


def record_provider_time(seconds: float) -> None:
    """Add a time spent on a provider, in seconds."""
    if (use := _provider_use.get()) is not None:
        use.seconds += seconds


def record_receipt(receipt: Receipt) -> None:
    """Record the receipt of the operation's order."""
    if (use := _provider_use.get()) is not None:
        use.receipt = receipt


def record_route(route: str) -> None:
    """Record how the first driver of the operation's order was chosen."""
    if (use := _provider_use.get()) is not None:
        use.route = route


def record_fraud(decision: str) -> None:
    """Record what the fraud guard decided about the operation's order."""
    if (use := _provider_use.get()) is not None:
        use.fraud = decision


#: The allowed labels of a metric: few values, and no personal data.
LABELS = ("verb", "outcome", "channel", "driver")


def labels(event: VerificationEvent) -> Mapping[str, str]:
    """Return the labels of a metric for this record: bounded, and without personal data."""
    return {f"phone_verify.{name}": value for name in LABELS if (value := getattr(event, name)) is not None}
