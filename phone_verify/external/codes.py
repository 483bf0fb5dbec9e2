"""Codes that another package generates and delivers, by mail or in an app.

They are checked under the limits of every verification. Nothing is sent and no send quota is
counted. Attempts, lifetimes, failures and lockouts are those of a code sent by this library, in the
same store and under the same budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

from ..before_send import BeforeSend
from ..drivers.base import Ability, Starts
from ..errors import UnclearError
from ..events.record import EventBus
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Outcome, Receipt, Started, Verification
from ..parts import Components
from ..phone import PhoneNumber
from ..policy import LONG_CODE
from ..routing import Router
from ..spray_guard import RightAnswers
from ..sync import run
from ..verifier.admission import Admission
from ..verifier.blocking import Verifier
from ..verifier.combined import BY_ANOTHER_PACKAGE
from ..verifier.operations import AsyncVerifier
from .forms import PendingVerification

#: The length of codes in mails and apps (RFC 6238); six digits do not count as short.
LENGTH = 6

#: Checked in place of the typed code if only `is_right` receives it. It has `LONG_CODE` digits: the
#: tally excludes such codes.
_ANY = "0" * LONG_CODE

#: A calling code that is assigned to no subscriber. No verification of a phone starts for it.
_UNASSIGNED = "+888"


def account(verifier: Verifier, user: str) -> PhoneNumber:
    """Return the number under which failures of a user without a phone are counted.

    It belongs to no phone. `user` is the user's id; the number reveals nothing about it.
    """
    digest = sha256(verifier.flows.keyring.bucket("account", user).encode()).digest()
    return PhoneNumber(f"{_UNASSIGNED}{int.from_bytes(digest) % 10**12:012}")


def register_code(
    verifier: Verifier,
    subject: PhoneNumber,
    purpose: str,
    code: str,
    *,
    ttl: timedelta,
    shown: Sequence[str] = (),
    user_id: str = "",
) -> tuple[Outcome, PendingVerification | None]:
    """Register a code that another package has just delivered; `forms.verify_code` checks what is typed.

    Failures are counted for `subject`, the user's phone or `account`. `life` is an upper limit.
    `shown` are secrets of the same browser: its open code for this subject and purpose is
    cancelled. `user_id` is the user that gave another factor, if any: `prove` requires it as its
    `subject`. Return the outcome, and what the session must keep if it succeeded. Refusal: too many
    requests.
    """
    flows = _verifier_for(verifier, _ExternalCodes(CodeSource.PROVIDER, code=code, cap=ttl))
    outcome = run(flows.start(subject, purpose=purpose, channel=Channel.SMS, shown=shown, subject=user_id))
    if not isinstance(outcome, Started):
        return outcome, None
    return outcome, PendingVerification(outcome.verification.id, outcome.secret)


def check_code(
    verifier: Verifier,
    subject: PhoneNumber,
    purpose: str,
    typed: str,
    is_right: Callable[[str], bool],
    *,
    user_id: str = "",
    address: str | None = None,
) -> Verification | Outcome:
    """Check a code that only another package can compare, like an authenticator app's.

    The failure is counted before `is_right` is called and taken back if it returns True, so that
    concurrent guesses cannot exceed the limit. `address` is the client's, for the limit on its
    wrong answers; `user_id` is the user that gave another factor, if any. Return the verification
    of a correct code, else the outcome with the reason.
    """
    flows = _verifier_for(verifier, _ExternalCodes(CodeSource.REMOTE_CHECK, is_right=is_right))
    return _check_code(flows, subject, purpose, typed, user_id, address)


def count_check(
    verifier: Verifier, subject: PhoneNumber, purpose: str, is_right: Callable[[], bool | None], *, user_id: str
) -> bool:
    """Return whether a code that another verification checks is correct.

    A failure is counted for `subject` too. `is_right` returns None if that verification compared
    nothing: then no failure is counted. If `subject` is locked, it is not called. Neither the
    client's address nor the site-wide tally counts the failure twice.
    """
    driver = _ExternalCodes(CodeSource.REMOTE_CHECK, is_right=lambda _: is_right(), length=LONG_CODE)
    flows = _verifier_for(verifier, driver, apart=True)
    return isinstance(_check_code(flows, subject, purpose, _ANY, user_id, None), Verification)


def may_check(verifier: Verifier, subject: PhoneNumber, purpose: str, *, user_id: str) -> Outcome:
    """Return the outcome of a start for `subject`: a refusal if its failures have locked it.

    Nothing is sent.
    """
    flows = _verifier_for(verifier, _ExternalCodes(CodeSource.REMOTE_CHECK), apart=True)
    return run(flows.start(subject, purpose=purpose, channel=Channel.SMS, subject=user_id))


def _check_code(
    flows: AsyncVerifier, subject: PhoneNumber, purpose: str, typed: str, user_id: str, address: str | None
) -> Verification | Outcome:
    started = run(flows.start(subject, purpose=purpose, channel=Channel.SMS, subject=user_id))
    if not isinstance(started, Started):
        return started
    outcome = run(flows.check(started.verification.id, started.secret, typed, address=address))
    return outcome.verification if outcome.ok and outcome.verification is not None else outcome


@dataclass(frozen=True, slots=True)
class _ExternalCodes:
    """Replaces a driver: it sends nothing, and holds the code or the function that compares it."""

    code_source: CodeSource
    code: str | None = field(default=None, repr=False)
    is_right: Callable[[str], bool | None] = field(default=lambda _: False, repr=False)
    cap: timedelta | None = None
    length: int = LENGTH
    name: str = BY_ANOTHER_PACKAGE
    timeout: timedelta = timedelta(seconds=1)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        return {Channel.SMS: Ability(self.code_source, fixed_length=self.length, cap=self.cap)}

    def reaches(self, phone: PhoneNumber) -> bool:
        return True

    def start(self, order: object) -> Exchange[Receipt]:
        return Receipt(code=self.code)
        yield HttpRequest.get("")  # unreachable: makes this a generator, as all exchanges are

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        right = self.is_right(code)
        if right is None:
            raise UnclearError("nothing was compared")
        return right
        yield HttpRequest.get("")  # as above


class _OneDriver(Router):
    """Routes every number, of any kind, to its only driver: nothing is sent."""

    def route(self, channel: Channel, phone: PhoneNumber) -> Sequence[Starts]:
        return list(self.drivers().values())


class _AnyDestination(Admission):
    """Admits every number: nothing is sent, so no destination is refused."""

    def refused_destination(self, phone: PhoneNumber, channel: Channel | None, *, owned: bool) -> None:
        """Refuse nothing."""


class _ExternalVerifier(AsyncVerifier):
    """A verifier for every number."""

    def __init__(self, parts: Components) -> None:
        super().__init__(parts)
        self._admission = _AnyDestination(parts, self._planner, self._delivery.statistics)


def _verifier_for(verifier: Verifier, driver: _ExternalCodes, *, apart: bool = False) -> _ExternalVerifier:
    """Return the site's verifier with `driver` as its only driver and without limits on sends.

    `apart` is for a check that another verification reports and counts already: no event, and no
    correct answer in the tally.
    """
    parts = verifier.flows._parts
    policy = replace(
        parts.policy,
        sends_per_hour=0,
        sends_per_hour_per_address=0,
        sends_per_hour_per_client=0,
        sends_per_hour_per_prefix=0,
        sends_per_hour_total=0,
    )
    router = _OneDriver({Channel.SMS: [driver]}, ticks=parts.ticks)
    if apart:
        parts = replace(parts, events=EventBus(), rights=RightAnswers())
    return _ExternalVerifier(replace(parts, policy=policy, router=router, test_numbers={}, before_send=BeforeSend()))
