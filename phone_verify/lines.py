"""The lines of inbound calls: which record holds one, and how long a released one rests."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from .model import CodeSource, Verification
from .phone import PhoneNumber

#: A released line is not reused for this long: a call for the previous claim must not verify the
#: next one.
LINE_REST = timedelta(seconds=60)
#: A pair of line and caller that verified a claim without a reference is blocked for other browsers
#: for this long: the provider may repeat its webhook (design 11.8).
PAIR_REST = timedelta(minutes=10)
#: Covers the resends that quotas and delays allow in a minute, and fits into a column.
MOST_RELEASED = 6


def holds_line(
    record: Verification,
    line: PhoneNumber,
    code_source: CodeSource,
    claim: Verification,
    now: datetime,
    *,
    presented: bool,
) -> bool:
    """Return whether this record keeps the claim of the same phone from getting the line.

    `code_source` is that of the claim's order. `presented` is whether the claim's client presented
    the record's binding.
    """
    same, claimed = line in lines_of(record), record.claim is not None and record.claim.line == line
    live = same and record.open_at(now)
    if code_source is not CodeSource.NONE:
        # The call verifies nothing about a code that is held back until its phone calls, but it
        # would verify an open claim.
        return live and claimed and not presented
    if live:
        # an open claim holds its line even for the same client: one call must not verify two claims
        return True
    ended = record.closed_at or record.expires_at
    if record.by_pair and claimed and now < ended + PAIR_REST:
        same_user = bool(claim.subject) and claim.subject == record.subject
        return not (claim.trusted or same_user or presented)
    given_up = [ended] if same else []
    given_up += [at for old, at in _parse_released(record) if old == line.e164]
    return any(now < at + LINE_REST for at in given_up) and not presented


def lines_of(record: Verification) -> Collection[PhoneNumber]:
    """Return the lines that a record holds: of its claim, and of a code that is held back."""
    return [line for line in (record.line, record.claim_line) if line is not None]


def released_lines(record: Verification, kept: Collection[PhoneNumber], now: datetime) -> str:
    """Return the lines that a record has released within the last minute, once it holds `kept`."""
    lines = [(old, at) for old, at in _parse_released(record) if now < at + LINE_REST]
    lines += [(line.e164, now) for line in lines_of(record) if line not in kept]
    return " ".join(f"{old}@{at.isoformat()}" for old, at in lines[-MOST_RELEASED:])


def _parse_released(record: Verification) -> list[tuple[str, datetime]]:
    entries = (entry.partition("@") for entry in record.released_lines.split())
    return [(old, datetime.fromisoformat(at)) for old, _, at in entries]
