"""Codes that another package makes and delivers, by mail or in an app, judged under the limits of every verification.

Nothing is sent and no send quota is counted. Attempts, lives, and failures with their locks are the ones of a code sent
by this library, in the same store and under the same budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

from ..drivers.base import Ability, Starts
from ..errors import UnclearError
from ..events.record import EventBus
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Outcome, Receipt, Verification
from ..phone import PhoneNumber
from ..policy import LONG_CODE
from ..routing import Router
from ..spray_guard import RightAnswers
from ..sync import run
from ..verifier import AsyncVerifier, Verifier
from .forms import PendingVerification

#: Is stored in a record in place of the driver's name; no DSN can give a driver this name.
BY_ANOTHER_PACKAGE = "(another package)"

#: What codes of mails and apps have (RFC 6238); six digits are no short code.
LENGTH = 6

#: Is checked where only `is_right` knows what was typed. Of `LONG_CODE` digits: the tally leaves such codes out.
_ANY = "0" * LONG_CODE

#: A calling code that is assigned to no subscriber. No verification of a phone starts for it.
_UNASSIGNED = "+888"


def account(verifier: Verifier, user: str) -> PhoneNumber:
    """Return the number under which failures of a user without a phone are counted: no phone has it.

    `user` is the user's id, of which the number shows nothing.
    """
    digest = sha256(verifier.flows.keyring.bucket("account", user).encode()).digest()
    return PhoneNumber(f"{_UNASSIGNED}{int.from_bytes(digest) % 10**12:012}")


def hold(
    verifier: Verifier,
    subject: PhoneNumber,
    purpose: str,
    code: str,
    *,
    life: timedelta,
    shown: Sequence[str] = (),
    user_id: str = "",
) -> tuple[Outcome, PendingVerification | None]:
    """Hold a code that another package has just delivered; `typed_codes.prove` judges what is typed.

    Failures are counted for `subject`, the user's phone or `account`. `life` is a ceiling. `shown` are secrets of the
    same browser: the code that it held for this subject and purpose dies. `user_id` is the user that gave another
    factor, if any: `prove` needs it as its `subject`. Return the outcome, and what the session must keep where it is
    good. DenialReason: too many requests.
    """
    flows = _counting(verifier, _Foreign(CodeSource.PROVIDER, code=code, cap=life))
    outcome = run(flows.start(subject, purpose=purpose, channel=Channel.SMS, shown=shown, subject=user_id))
    if outcome.verification is None or outcome.secret is None:
        return outcome, None
    return outcome, PendingVerification(outcome.verification.id, outcome.secret)


def judge(
    verifier: Verifier,
    subject: PhoneNumber,
    purpose: str,
    typed: str,
    is_right: Callable[[str], bool],
    *,
    user_id: str = "",
    address: str | None = None,
) -> Verification | Outcome:
    """Judge a code that only another package can compare, like an authenticator app's.

    The failure is counted before `is_right` is called and taken back where it returns True, so that concurrent guesses
    cannot exceed the limit. `address` is the client's, for the limit of its wrong answers; `user_id` is the user that
    gave another factor, if any. Return the verification of a right code, else the outcome with the reason.
    """
    flows = _counting(verifier, _Foreign(CodeSource.REMOTE_CHECK, is_right=is_right))
    return _judged(flows, subject, purpose, typed, user_id, address)


def judge_again(
    verifier: Verifier, subject: PhoneNumber, purpose: str, is_right: Callable[[], bool | None], *, user_id: str
) -> bool:
    """Return whether a code is right that another verification judges, and count its failure for `subject` too.

    `is_right` returns None where that verification compared nothing: then no failure is counted. Where `subject` is
    locked it is not called. Neither the client's address nor the site-wide tally counts the failure twice.
    """
    foreign = _Foreign(CodeSource.REMOTE_CHECK, is_right=lambda _: is_right(), length=LONG_CODE)
    flows = _counting(verifier, foreign, apart=True)
    return isinstance(_judged(flows, subject, purpose, _ANY, user_id, None), Verification)


def may_be_judged(verifier: Verifier, subject: PhoneNumber, purpose: str, *, user_id: str) -> Outcome:
    """Return the outcome of a start for `subject`: a refusal where its failures have locked it. Nothing is sent."""
    flows = _counting(verifier, _Foreign(CodeSource.REMOTE_CHECK), apart=True)
    return run(flows.start(subject, purpose=purpose, channel=Channel.SMS, subject=user_id))


def _judged(
    flows: AsyncVerifier, subject: PhoneNumber, purpose: str, typed: str, user_id: str, address: str | None
) -> Verification | Outcome:
    outcome = run(flows.start(subject, purpose=purpose, channel=Channel.SMS, subject=user_id))
    if outcome.verification is None or outcome.secret is None:
        return outcome
    outcome = run(flows.check(outcome.verification.id, outcome.secret, typed, address=address))
    return outcome.verification if outcome.ok and outcome.verification is not None else outcome


@dataclass(frozen=True, slots=True)
class _Foreign:
    """Stands in the place of a driver, carries nothing, and knows the code or who can compare it."""

    holder: CodeSource
    code: str | None = field(default=None, repr=False)
    is_right: Callable[[str], bool | None] = field(default=lambda _: False, repr=False)
    cap: timedelta | None = None
    length: int = LENGTH
    name: str = BY_ANOTHER_PACKAGE
    timeout: timedelta = timedelta(seconds=1)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        return {Channel.SMS: Ability(self.holder, known=self.length, cap=self.cap)}

    def reaches(self, phone: PhoneNumber) -> bool:
        return True

    def start(self, order: object) -> Exchange[Receipt]:
        return Receipt(code=self.code)
        yield HttpRequest.get("")  # never reached: this is what makes it a generator, as all exchanges are

    def check(self, phone: PhoneNumber, code: str) -> Exchange[bool]:
        right = self.is_right(code)
        if right is None:
            raise UnclearError("nothing was compared")
        return right
        yield HttpRequest.get("")  # as above


class _OneDriver(Router):
    """Routes every number to its only driver: nothing is sent, so the kind of a number does not matter."""

    def route(self, channel: Channel, phone: PhoneNumber) -> Sequence[Starts]:
        return list(self.drivers().values())


class _Counting(AsyncVerifier):
    """The flows for every number: nothing is sent, so no destination is refused."""

    def _refused_destination(self, phone: PhoneNumber, channel: Channel | None) -> None:
        return None


def _counting(verifier: Verifier, foreign: _Foreign, *, apart: bool = False) -> _Counting:
    """Return the site's flows with this stand-in as their only driver, and without limits of sends.

    `apart` is for what another verification reports and counts already: no event, and no right answer of the site.
    """
    parts = verifier.flows._parts
    policy = replace(
        parts.policy,
        sends_per_hour=0,
        sends_per_hour_per_address=0,
        sends_per_hour_per_prefix=0,
        sends_per_hour_total=0,
    )
    router = _OneDriver({Channel.SMS: [foreign]}, ticks=parts.ticks)
    if apart:
        parts = replace(parts, events=EventBus(), rights=RightAnswers())
    return _Counting(replace(parts, policy=policy, router=router, test_numbers={}))
