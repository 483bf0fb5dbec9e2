"""Codes typed into external forms: another library's login, or a page of your own.

Such a form keeps one `PendingVerification` between two requests, where its library would keep the
code. The code itself stays in our store, under the limits of every verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..before_send import ClientFacts
from ..model import Channel, Outcome, Reason, Redeemed, Started, Status
from ..phone import PhoneNumber
from ..verifier.blocking import Verifier


@dataclass(frozen=True, slots=True)
class PendingVerification:
    """What the form keeps: the id of the verification in progress, and its secret."""

    id: str
    secret: str = field(repr=False)


NO_VERIFICATION = PendingVerification("", "")


def send_code(
    verifier: Verifier,
    phone: PhoneNumber,
    purpose: str,
    *,
    begun: PendingVerification,
    locale: str | None = None,
    address: str | None = None,
    subject: str = "",
    by_client: bool = False,
    client: ClientFacts | None = None,
) -> tuple[Outcome, PendingVerification]:
    """Resend the pending verification, or start one on the first channel with a code to type.

    Return the outcome, and what to keep from now on. `begun` is what was kept before,
    `NO_VERIFICATION` at first. A call that the user has to make involves no code: that channel is
    left out. `address`, `subject`, `by_client` and `client` are those of `AsyncVerifier.start`; a
    number that your code chose may be one that today's numbering plan does not contain. A
    verification that another subject started is not resent.
    """
    phone = phone.current
    found = verifier.get(begun.id, begun.secret).verification
    wanted = phone, purpose, verifier.flows.keyring.subject(subject)
    if found is not None and found.open and (found.phone, found.purpose, found.subject) == wanted:
        outcome = verifier.resend(
            begun.id, begun.secret, channel=found.channel, address=address, by_client=by_client, client=client
        )
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
            owned=not by_client,
            by_client=by_client,
            client=client,
        )
        if outcome.reason not in (Reason.CHANNEL_UNAVAILABLE, Reason.DESTINATION_NOT_ALLOWED):
            break
    if not isinstance(outcome, Started):
        return outcome, begun
    return outcome, PendingVerification(outcome.verification.id, outcome.secret)


def resend_code(
    verifier: Verifier,
    begun: PendingVerification,
    *,
    locale: str | None = None,
    address: str | None = None,
    subject: str = "",
    by_client: bool = False,
    client: ClientFacts | None = None,
) -> tuple[Outcome, PendingVerification]:
    """Resend the pending verification, or start a new one for the same number if it has ended.

    For a button that asks for another code without the number. The refusal is not found if
    nothing is pending for this subject, or the number is already verified. Otherwise as
    `send_code`.
    """
    last = verifier.get(begun.id, begun.secret).verification
    if last is None or last.state is Status.VERIFIED or last.subject != verifier.flows.keyring.subject(subject):
        return Outcome(Reason.NOT_FOUND), begun
    return send_code(
        verifier,
        last.phone,
        last.purpose,
        begun=begun,
        locale=locale,
        address=address,
        subject=subject,
        by_client=by_client,
        client=client,
    )


def verify_code(
    verifier: Verifier,
    begun: PendingVerification,
    phone: PhoneNumber,
    purpose: str,
    typed: str,
    *,
    address: str | None = None,
    subject: str = "",
) -> Redeemed | Outcome:
    """Check the typed code and consume its proof.

    Return what it proves, or the outcome with the reason. `phone`, `purpose` and `subject` are
    those of the current form: a code for another phone counts as wrong. A form cannot satisfy a
    purpose that requires several channels: the outcome's reason is then `CHANNELS_LEFT`. `address` is the client's,
    for the limit on its wrong answers.
    """
    outcome = verifier.check(begun.id, begun.secret, typed, address=address)
    # A finished verification returns its proof too, regardless of what was typed.
    if not outcome.ok or outcome.proof is None:
        return outcome if not outcome.ok else Outcome(Reason.CLOSED)
    if outcome.channels_left:
        return replace(outcome, reason=Reason.CHANNELS_LEFT, proof=None)
    redeemed = verifier.redeem(outcome.proof, [begun.secret], [purpose], subject=subject)
    if redeemed is None or redeemed.phone != phone.current:
        return Outcome(Reason.WRONG_CODE)
    return redeemed


def _typed(channels: Sequence[Channel]) -> Sequence[Channel]:
    return [channel for channel in channels if channel is not Channel.INBOUND_CALL]
