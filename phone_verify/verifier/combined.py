"""Purposes that require several channels: which have verified the phone, and which are left.

Each channel has a separate verification. A verification that begins with the proof of an
earlier one keeps the channels proved so far in its record, and only the last one's proof is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..lines import served_by
from ..model import Channel, Status, Verification
from ..policy import Policy

#: The driver's name in records of codes that another package delivers, which prove no channel. No DSN
#: can give a driver this name.
BY_ANOTHER_PACKAGE = "(another package)"


def proved_channels(record: Verification) -> str:
    """Return the channels that have verified the phone, as stored in the record that follows.

    Each channel is named once, so the same channel twice is one.
    """
    proved = set(record.proved_channels.split())
    if record.status is Status.VERIFIED and record.driver != BY_ANOTHER_PACKAGE:
        proved.add(served_by(record)[0].value)
    return " ".join(sorted(proved))


def channels_left(policy: Policy, record: Verification) -> Sequence[Channel]:
    """Return the channels that must verify the phone before the record's proof is accepted."""
    wanted = policy.required_for(record.purpose)
    if not wanted:
        return ()
    proved = proved_channels(record).split()
    return [channel for channel in wanted if channel.value not in proved]
