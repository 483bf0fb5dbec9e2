"""A test by staff: one real verification, with what was sent and what the provider answered.

What a provider answered may repeat the number, the code or a token. Only its scrubbed text leaves this
module, and of a request only the host; the code in the text of a message is masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ..drivers.reading import scrubbed
from ..errors import ProviderError, StoreError, UnclearError, UnusableServiceError
from ..exchange import HttpRequest, HttpResponse, Notice, Request, SmppMessage
from ..http.site import Site
from ..keys.access_key import AccessKey
from ..ledger.values import Attempt
from ..model import Channel, DeliveryReport, Outcome, Reason, Started, Verification
from ..parts import Components, Texts
from ..phone import PhoneNumber
from ..purposes import SECOND_FACTOR
from ..services.listing import entries
from ..sync import run
from ..transports.base import Transport
from ..verifier.operations import AsyncVerifier

#: Purposes of a test, by preference: the first gives no rights.
_PURPOSES = ("confirm", "login")
#: A session may be a cookie of four thousand bytes.
_MOST_ANSWERS = 6
_LONGEST_ANSWER = 120
_LONGEST_TEXT = 400
#: May be a token or a key: long, or with digits among letters.
_LONG_WORDS = re.compile(r"[\w/.-]{24,}|(?=\w*\d)\w{12,}")
_MASK = "•"


class TrialError(ValueError):
    """A test that cannot start: `field` is the one to change, `problem` the key of the text."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider answered to one request: its host, the status if it has one, the time, and its scrubbed text."""

    host: str
    status: int | None
    milliseconds: int
    said: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The current test of a member of staff, as their session keeps it; `id` is empty if nothing was sent."""

    id: str
    secret: str = field(repr=False)
    service: str
    key: str = ""
    text: str = field(default="", repr=False)
    answers: Sequence[ProviderAnswer] = ()

    def kept(self) -> list[Any]:
        """Return it for a session."""
        answers = [[each.host, each.status, each.milliseconds, each.said] for each in self.answers]
        return [self.id, self.secret, self.service, self.key, self.text, answers]

    @classmethod
    def read(cls, kept: Any) -> Trial | None:
        """Return the test that a session keeps, or None."""
        try:
            id, secret, service, key, text, answers = kept
            return cls(id, secret, service, key, text, tuple(ProviderAnswer(*each) for each in answers))
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class TrialState:
    """How far a test is: its record, the provider's report, and its rows in the ledger."""

    outcome: Outcome
    record: Verification
    report: DeliveryReport | None = None
    attempts: Sequence[Attempt] = ()


@dataclass(slots=True)
class _Watch:
    """Notes what is sent and answered, for one operation."""

    ticks: Callable[[], float]
    text: str = ""
    answers: list[ProviderAnswer] = field(default_factory=list)

    def over(self, parts: Components) -> Components:
        """Return the components, watched."""
        return replace(parts, transport=_WatchedTransport(parts.transport, self), texts=self._texts(parts.texts))

    def _texts(self, texts: Texts) -> Texts:
        def write(channel: Channel, code: str, *more: Any) -> str:
            text = texts(channel, code, *more)
            # Written again, not replaced: a code can occur in the name of a site too.
            self.text = texts(channel, _MASK * len(code), *more)[:_LONGEST_TEXT]
            return text

        return write


class _WatchedTransport:
    def __init__(self, inner: Transport, watch: _Watch) -> None:
        self._inner, self._watch = inner, watch

    async def send(self, request: Request, timeout: float) -> HttpResponse:
        """See `Transport`."""
        began, status, said = self._watch.ticks(), None, ""
        try:
            response = await self._inner.send(request, timeout)
            status = response.status if isinstance(request, HttpRequest) else None
            said = _safe(response.body[:4096].decode(errors="replace"))
        except (ProviderError, UnclearError) as error:
            said = _safe(str(error))
            raise
        else:
            return response
        finally:
            milliseconds = round((self._watch.ticks() - began) * 1000)
            self._watch.answers.append(ProviderAnswer(_host(request), status, milliseconds, said))


def services_of(site: Site) -> Sequence[str]:
    """Return the names of the services. Raises `StoreError`."""
    return [entry.name for entry in entries(site.services)] if site.services is not None else [site.service]


def keys_of(site: Site) -> Sequence[AccessKey]:
    """Return the access keys that can be used, newest first. Raises `StoreError`."""
    keys = site.verifier.flows.keys
    return [] if keys is None else [key for key in run(keys.store.listed()) if key.is_usable(keys.clock())]


def read_phone(site: Site, text: str) -> PhoneNumber:
    """Return the number. Raises `InvalidPhoneError`."""
    policy = site.verifier.policy
    return PhoneNumber.read(text, policy.region, also=policy.regions_after(policy.region))


def start(
    site: Site,
    phone: PhoneNumber,
    *,
    service: str,
    key: str = "",
    channel: Channel | None = None,
    locale: str,
    subject: str,
    earlier: Trial | None = None,
) -> tuple[Outcome, Trial]:
    """Start a verification of this service, as for this key, which is not presented.

    Raises `TrialError` for a service or a channel that the test cannot use, and `StoreError`.
    """
    flows = _flows(site, service)
    channels = _channels(flows, key, channel)
    watch = _Watch(flows.ticks)
    watched = flows.limited.watched(channels, watch.over)
    [purpose, *_] = flows.services.accepted([*_PURPOSES, *site.purposes.names, SECOND_FACTOR])
    outcome = run(
        watched.start(
            phone,
            purpose=purpose,
            channel=channel,
            locale=locale,
            shown=[earlier.secret] if earlier is not None and earlier.secret else [],
            subject=subject,
            access_key=key,
        )
    )
    if isinstance(outcome, Started):
        return outcome, _with(Trial(outcome.verification.id, outcome.secret, flows.service, key), watch)
    return outcome, _with(Trial("", "", flows.service, key), watch)


def check(site: Site, trial: Trial, code: str, address: str | None) -> Outcome:
    """Check a code."""
    return run(_flows(site, trial.service).check(trial.id, trial.secret, code, address=address))


def resend(site: Site, trial: Trial) -> tuple[Outcome, Trial]:
    """Send again."""
    flows = _flows(site, trial.service)
    watch = _Watch(flows.ticks)
    watched = flows.limited.watched(_channels(flows, trial.key, None), watch.over)
    outcome = run(watched.resend(trial.id, trial.secret, access_key=trial.key))
    return outcome, _with(trial, watch)


def cancel(site: Site, trial: Trial) -> Outcome:
    """Cancel the verification."""
    return run(_flows(site, trial.service).cancel(trial.id, trial.secret))


def state_of(site: Site, trial: Trial) -> TrialState | None:
    """Return how far the test is, as the store, the provider and the ledger know it; None if it is unknown.

    Raises `TrialError` if its service cannot be used any more, and `StoreError`.
    """
    if not trial.id:
        return None
    flows = _flows(site, trial.service)
    outcome = run(flows.poll(trial.id, trial.secret))
    record = outcome.verification
    if outcome.reason is Reason.NOT_FOUND or record is None:
        return None
    report = run(flows.delivery(trial.id)) if record.open else None
    return TrialState(outcome, record, report, _attempts(flows, trial.id))


def _attempts(flows: AsyncVerifier, id: str) -> Sequence[Attempt]:
    if flows.ledger is None:
        return ()
    try:
        return run(flows.ledger.ledger.attempts(id))
    except StoreError:
        return ()  # the test continues without what it cost


def _flows(site: Site, service: str) -> AsyncVerifier:
    try:
        found = run(site.verifier.flows.services.find(service))
    except UnusableServiceError:
        raise TrialError("service", "service_unusable") from None
    if found is None:
        raise TrialError("service", "test_no_service")
    return found


def _channels(flows: AsyncVerifier, key: str, channel: Channel | None) -> Sequence[Channel]:
    """Return the channels of the service, or those of them that the key may use."""
    if not key:
        return flows.channels
    found = run(flows.keys.store.find(key)) if flows.keys is not None else None
    if found is None or flows.keys is None or not found.is_usable(flows.keys.clock()):
        raise TrialError("key", "test_no_key")
    if found.service != flows.service:
        raise TrialError("key", "test_other_key")
    usable = [each for each in flows.channels if found.may_use(each)]
    if not usable or (channel is not None and channel not in usable):
        raise TrialError("channel", "test_key_channel")
    return usable


def _with(trial: Trial, watch: _Watch) -> Trial:
    answers = (*trial.answers, *watch.answers)[-_MOST_ANSWERS:]
    return replace(trial, text=watch.text or trial.text, answers=answers)


def _safe(text: str) -> str:
    return _LONG_WORDS.sub("…", " ".join(scrubbed(text).split()))[:_LONGEST_ANSWER]


def _host(request: Request) -> str:
    if isinstance(request, HttpRequest):
        return urlsplit(request.url).hostname or ""
    if isinstance(request, SmppMessage):
        return request.host
    return "console" if isinstance(request, Notice) else "python"
