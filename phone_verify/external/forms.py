"""A code that is typed into a form of somebody else's: another library's login, or a page of the site's own.

Such a form keeps one `PendingVerification` between two requests, where its library would keep the code. The code
itself stays in our store, under the limits of every verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..model import Channel, Outcome, Reason, Redeemed
from ..phone import PhoneNumber
from ..verifier import Verifier


@dataclass(frozen=True, slots=True)
class PendingVerification:
    """What the form keeps: which verification is under way, and the secret that shows that it was begun here."""

    id: str
    secret: str = field(repr=False)


NO_VERIFICATION = PendingVerification("", "")


def send(
    verifier: Verifier,
    phone: PhoneNumber,
    purpose: str,
    *,
    begun: PendingVerification,
    locale: str | None = None,
    address: str | None = None,
    subject: str = "",
    by_client: bool = False,
) -> tuple[Outcome, PendingVerification]:
    """Send once more what is under way, or else begin anew, by the first way that ends in a code to type.

    Return the outcome, and what to keep from now on. `begun` is what was kept until now, `NO_VERIFICATION` at first.
    A call that the user has to make ends in no code: that channel is left out. `address`, `subject` and `by_client`
    are those of `AsyncVerifier.start`; what another subject started is not sent again.
    """
    found = verifier.get(begun.id, begun.secret).verification
    wanted = phone, purpose, verifier.flows.keyring.subject(subject)
    if found is not None and found.open and (found.phone, found.purpose, found.subject) == wanted:
        outcome = verifier.resend(begun.id, begun.secret, channel=found.channel, address=address, by_client=by_client)
        if outcome.reason not in (Reason.CLOSED, Reason.CHANNEL_UNAVAILABLE):
            return outcome, begun
    outcome = Outcome(Reason.NOT_CONFIGURED)
    for channel in _typed(verifier.channels):
        outcome = verifier.start(
            phone,
            purpose=purpose,
            channel=channel,
            locale=locale,
            address=address,
            shown=[begun.secret],
            subject=subject,
            by_client=by_client,
        )
        if outcome.reason not in (Reason.CHANNEL_UNAVAILABLE, Reason.DESTINATION_NOT_ALLOWED):
            break
    if outcome.verification is None or outcome.secret is None:
        return outcome, begun
    return outcome, PendingVerification(outcome.verification.id, outcome.secret)


def prove(
    verifier: Verifier,
    begun: PendingVerification,
    phone: PhoneNumber,
    purpose: str,
    typed: str,
    *,
    address: str | None = None,
    subject: str = "",
) -> Redeemed | Outcome:
    """What a right code proves, with its proof burnt; for any other the outcome that says why not.

    `phone`, `purpose` and `subject` are those that the form is about now: the code of another phone is a wrong one.
    `address` is the client's, for the limit of its wrong answers.
    """
    outcome = verifier.check(begun.id, begun.secret, typed, address=address)
    # One that is over shows its proof too, whatever is typed.
    if not outcome.ok or outcome.proof is None:
        return outcome if not outcome.ok else Outcome(Reason.CLOSED)
    redeemed = verifier.redeem(outcome.proof, [begun.secret], [purpose], subject=subject)
    if redeemed is None or redeemed.phone != phone:
        return Outcome(Reason.WRONG_CODE)
    return redeemed


def _typed(channels: Sequence[Channel]) -> Sequence[Channel]:
    return [channel for channel in channels if channel is not Channel.INBOUND_CALL]
