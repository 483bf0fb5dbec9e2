"""The lines of inbound calls: the claim that waits for a call, which record holds a line, and how
long a released one rests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from .model import Channel, CodeSource, IncomingCall, Status, Verification, value_class, with_changes
from .phone import PhoneNumber

#: A released line is not reused for this long: a call for the previous claim must not verify the
#: next one.
LINE_REST = timedelta(seconds=60)
#: A pair of line and caller that verified a claim without a reference is blocked for other browsers
#: for this long: the provider may repeat its webhook (design 11.8).
PAIR_REST = timedelta(minutes=10)
#: Covers the resends that quotas and delays allow a claim, and fits into a column.
MOST_RELEASED = 6
#: How long the page shows that another phone has called the line.
OTHER_CALLER_SHOWN = timedelta(seconds=60)
#: Such a call is noted at most once in this time: anyone may call a line repeatedly.
OTHER_CALLER_EVERY = timedelta(seconds=10)
#: Of a line with more claims it is not examined which of them are still open.
MOST_CLAIMANTS = 20


@value_class
class Claim:
    """The call that a verification waits for: the driver that reports it, its reference and its line.

    `send` is the number of the send that assigned the line.
    """

    driver: str
    reference: str | None
    line: PhoneNumber | None
    send: int


def claim_of(record: Verification) -> Claim | None:
    """Return the call that can verify a record, alone or with a code; None for a code alone."""
    if not record.has_code:
        return Claim(record.driver, record.reference, record.line, record.acked_send)
    if record.claim_driver:
        return Claim(record.claim_driver, record.claim_reference, record.claim_line, record.claim_send)
    return None


def claim_set_aside(record: Verification) -> Mapping[str, Any]:
    """Return the fields of a record without a code once a code is live: its claim in the second place."""
    if record.reference is None and record.line is None:
        return {}
    return {
        "claim_driver": record.driver,
        "claim_reference": record.reference,
        "claim_line": record.line,
        "claim_send": record.acked_send,
    }


def served_by(record: Verification) -> tuple[Channel, str]:
    """Return channel and driver of the proof, or of the latest order while there is none."""
    by_call = record.by_call if record.status is Status.VERIFIED else record.code_channel is not None
    if by_call and record.has_code:
        return Channel.INBOUND_CALL, record.claim_driver
    return record.channel_of_code, record.driver


def number_to_call(record: Verification) -> PhoneNumber | None:
    """Return the number that the user must call, to verify the phone or to receive the code."""
    return record.claim_line or record.line


def proven_by(record: Verification, driver: str, event: IncomingCall) -> bool:
    """Return whether this call verifies this open claim.

    The full caller must match, and the reference or else the line. An event with a reference is
    matched by it alone: an unknown reference never falls back to the pair. A provider that reports
    neither matches the claims without a reference.
    """
    claim = claim_of(record)
    if claim is None or not record.open or claim.driver != driver or event.caller != record.phone:
        return False
    if event.reference is not None:
        return claim.reference == event.reference
    if event.line is not None:
        return claim.line == event.line
    return claim.line is not None and claim.reference is None


def claimant(records: Collection[Verification], driver: str, line: PhoneNumber) -> Verification | None:
    """Return the one open record whose claim has this line of this driver; None if several have."""
    waiting = [
        record
        for record in records
        if record.open and (claim := claim_of(record)) is not None and (claim.driver, claim.line) == (driver, line)
    ]
    return waiting[0] if len(waiting) == 1 else None


def note_other_caller(record: Verification | None, now: datetime) -> Verification | None:
    """Return the open claim with the note that another phone has just called its line.

    None if there is nothing to store. Nothing about the caller is kept.
    """
    claim = claim_of(record) if record is not None else None
    if record is None or claim is None or claim.line is None or not record.open_at(now):
        return None
    if record.other_caller_at is not None and now < record.other_caller_at + OTHER_CALLER_EVERY:
        return None
    return with_changes(record, other_caller_at=now, read_at=now)


def other_phone_called(record: Verification) -> bool:
    """Return whether the page should show that another phone has called the line."""
    noted = record.other_caller_at
    if noted is None or not record.open or claim_of(record) is None:
        return False
    return record.read_at < noted + OTHER_CALLER_SHOWN


def holds_line(
    record: Verification,
    line: PhoneNumber,
    code_source: CodeSource,
    claim: Verification,
    now: datetime,
    *,
    presented: bool,
    without_reference_at: str | None = None,
) -> bool:
    """Return whether this record keeps the claim of the same phone from getting the line.

    An open claim does; one that held it within the last minute, unless its binding was presented;
    and one that a call without a reference verified within the last ten minutes, or its code
    (a call may have been made as well), unless it is the same browser or user. Codes that are held
    back until the phone calls share their lines with each other, but not with claims: a call made
    to receive a code must not verify another client's claim. `code_source` is that of the claim's
    order. `presented` is whether the claim's client presented the record's binding.
    `without_reference_at` is the claim's driver if its calls may be reported without a reference and a
    line: the claims without a reference at one driver then hold each other's lines.
    """
    claimed = _claims(record, line, without_reference_at)
    same = claimed or line in lines_of(record)
    live = same and record.open_at(now)
    if code_source is not CodeSource.NONE:
        # The call verifies nothing about a code that is held back until its phone calls, but it
        # would verify an open claim.
        return live and claimed and not presented
    if live:
        # an open claim holds its line even for the same client: one call must not verify two claims
        return True
    ended = record.closed_at or record.expires_at
    code_first = record.status is Status.VERIFIED and record.has_code and not record.by_call
    if (record.by_pair or code_first) and claimed and now < ended + PAIR_REST:
        same_user = bool(claim.subject) and claim.subject == record.subject
        return not (claim.trusted or same_user or presented)
    given_up = [ended] if same else []
    given_up += [at for old, at in _parse_released(record) if without_reference_at or old == line.e164]
    return any(now < at + LINE_REST for at in given_up) and not presented


def _claims(record: Verification, line: PhoneNumber, without_reference_at: str | None) -> bool:
    """Return whether a call to the line could verify the claim of this record, open or not."""
    claim = claim_of(record)
    if claim is None or claim.line is None:
        return False
    return claim.line == line or (claim.reference is None and claim.driver == without_reference_at)


def may_lease(
    held: Verification | None, line: PhoneNumber, claim: Verification, now: datetime, *, presented: bool
) -> bool:
    """Return whether the claim may lease a line that the record `held` has leased before.

    A line rests for a minute after its claim has ended or was moved to another line; for the same
    phone, as long as `holds_line` says. `presented` is whether the claim's client presented the
    binding of `held`. A record that no longer exists holds nothing.
    """
    if held is None:
        return True
    if held.id == claim.id:
        return False
    if held.open_at(now):
        # One that has no line yet waits for the receipt that names it.
        given_up = {} if line in lines_of(held) else dict(_parse_released(held))
        return line.e164 in given_up and given_up[line.e164] + LINE_REST <= now
    if held.phone == claim.phone:
        return not holds_line(held, line, CodeSource.NONE, claim, now, presented=presented)
    return (held.closed_at or held.expires_at) + LINE_REST <= now


def lines_of(record: Verification) -> Collection[PhoneNumber]:
    """Return the lines that a record holds: of its claim, and of a code that is held back."""
    return [line for line in (record.line, record.claim_line) if line is not None]


def released_lines(record: Verification, kept: Collection[PhoneNumber], now: datetime) -> str:
    """Return the lines that a record has released, once it holds `kept`, with the times.

    They are kept after their rest: an open record whose lease of a line is not among them may still
    get that line (`may_lease`).
    """
    if not record.released_lines and record.line is None and record.claim_line is None:
        return ""
    lines = _parse_released(record) + [(line.e164, now) for line in lines_of(record) if line not in kept]
    return " ".join(f"{old}@{at.isoformat()}" for old, at in lines[-MOST_RELEASED:])


def _parse_released(record: Verification) -> list[tuple[str, datetime]]:
    entries = (entry.partition("@") for entry in record.released_lines.split())
    return [(old, datetime.fromisoformat(at)) for old, _, at in entries]
