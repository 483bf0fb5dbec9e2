"""What happened, one record a verb: for logs, metrics, and whoever wants to listen.

A record goes to the logger `phone_verify.events` at INFO, whole in `record.phone_verify`; to every listener; and to
OpenTelemetry where its API is installed. Names and values are stable, and no record holds a code, a secret or a
number: a phone is its masked hint and its tag.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..codes import TAG_LENGTH
from ..model import Outcome, Redeemed, Verification
from ..phone import PhoneNumber

log = logging.getLogger("phone_verify")
events_log = logging.getLogger("phone_verify.events")

OK = "ok"
#: The outcome of a verb that the store, or our own fault, did not let end.
UNAVAILABLE = "unavailable"

#: Seconds that the present verb has waited for providers. Of the context, so that flows side by side do not mix.
_waited: ContextVar[list[float] | None] = ContextVar("phone_verify_waited", default=None)


@dataclass(frozen=True, slots=True)
class VerificationEvent:
    """One verb that has ended.

    `verb` is one of start, resend, check, poll, receive, cancel, redeem, or `short_codes_off`; `outcome` is `ok`,
    `unavailable`, or why not, in the words of `Reason`. What is not known is None: a verb on an unknown verification
    has no channel. Durations are seconds; `provider_seconds` is the part of `seconds` that providers took.
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

    def __str__(self) -> str:
        told = {name: value for name, value in asdict(self).items() if value is not None}
        del told["verb"], told["outcome"]
        for name in ("seconds", "provider_seconds"):
            told[name] = format(told[name], ".3f")
        return f"{self.verb} {self.outcome} " + " ".join(f"{name}={value!s}" for name, value in told.items())


#: Hears of every verb.
Listener = Callable[[VerificationEvent], object]


class Telemetry(Protocol):
    """What measures and traces verbs, where the site has set that up."""

    @property
    def on(self) -> bool: ...
    def span(self, verb: str) -> AbstractContextManager[object]: ...
    def count(self, event_for: VerificationEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class EventBus:
    """Tells the log, the listeners and the telemetry. A listener that fails is logged, and stops nothing."""

    listeners: Sequence[Listener] = ()
    telemetry: Telemetry | None = None

    @property
    def has_listeners(self) -> bool:
        """Whether anybody listens; where nobody does, nothing needs to be put together."""
        return bool(self.listeners) or events_log.isEnabledFor(logging.INFO) or self._measured

    def span(self, verb: str) -> AbstractContextManager[object]:
        """What everything that a verb does happens within."""
        return self.telemetry.span(verb) if self.telemetry is not None and self._measured else nullcontext()

    def tell(self, event_for: VerificationEvent) -> None:
        """Hand a record to everybody."""
        if events_log.isEnabledFor(logging.INFO):
            events_log.info("%s", event_for, extra={"phone_verify": asdict(event_for)})
        measures = [self.telemetry.count] if self.telemetry is not None and self._measured else []
        for listener in [*self.listeners, *measures]:
            try:
                listener(event_for)
            except Exception:  # a listener is somebody else's code, and a login must not hang on it
                log.exception("a listener of phone_verify's events failed")

    @property
    def _measured(self) -> bool:
        return self.telemetry is not None and self.telemetry.on


def event_for(verb: str, result: object, phone: PhoneNumber | None, tag: str | None) -> VerificationEvent:
    """The record of a verb that returned `result`, without its durations."""
    facts: dict[str, Any] = {}
    match result:
        case Outcome(reason=reason, verification=record):
            facts = {} if record is None else _facts(record)
            outcome = OK if reason is None else reason.value
        case Redeemed():
            facts = {
                "channel": str(result.channel),
                "purpose": result.purpose,
                "phone": result.phone.hint,
                "tag": result.verification_id[:TAG_LENGTH],
            }
            outcome = OK
        case bool() | None:
            # A webhook that proves nothing, and a proof that is not good, say no more.
            outcome = OK if result else "no_effect" if result is False else "invalid_proof"
        case _:
            raise TypeError(f"no verb returns {type(result).__name__}")
    if phone is not None:
        facts.setdefault("phone", phone.hint)
    if tag is not None:
        facts.setdefault("tag", tag)
    return VerificationEvent(verb, outcome, **facts)


def _facts(record: Verification) -> dict[str, Any]:
    return {
        "channel": str(record.channel),
        "driver": record.driver,
        "purpose": record.purpose,
        "status": record.state.value,
        "phone": record.phone.hint,
        "tag": record.tag,
    }


@contextmanager
def waiting() -> Iterator[list[float]]:
    """Collect what `waited` is told while the block runs."""
    seconds: list[float] = []
    token = _waited.set(seconds)
    try:
        yield seconds
    finally:
        _waited.reset(token)


def waited(seconds: float) -> None:
    """Note that a provider took so long."""
    collected = _waited.get()
    if collected is not None:
        collected.append(seconds)


#: What may be a label of a metric: few values, none of them somebody's.
LABELS = ("verb", "outcome", "channel", "driver")


def labels(event_for: VerificationEvent) -> Mapping[str, str]:
    """The labels of a metric for this record: bounded, and without personal data."""
    return {f"phone_verify.{name}": value for name in LABELS if (value := getattr(event_for, name)) is not None}
