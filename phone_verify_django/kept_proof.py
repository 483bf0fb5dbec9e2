"""A redeemed proof as JSON values, for a session that keeps it while its user completes a step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from phone_verify import Channel, PhoneNumber
from phone_verify.model import Assurance, Redeemed


def as_values(redeemed: Redeemed) -> dict[str, Any]:
    """Return the proof as JSON values."""
    return {
        "phone": redeemed.phone.e164,
        "purpose": redeemed.purpose,
        "service": redeemed.service,
        "channel": redeemed.channel.value,
        "assurance": redeemed.assurance.value,
        "verification_id": redeemed.verification_id,
        "verified_at": redeemed.verified_at.isoformat(),
        "by_test_number": redeemed.by_test_number,
        "short": redeemed.short,
    }


def from_values(kept: Any) -> Redeemed | None:
    """Return the proof that `as_values` wrote, or None if these values are not one of this version."""
    try:
        return Redeemed(
            PhoneNumber.stored(kept["phone"]),
            kept["purpose"],
            kept["service"],
            Channel(kept["channel"]),
            Assurance(kept["assurance"]),
            kept["verification_id"],
            datetime.fromisoformat(kept["verified_at"]),
            kept["by_test_number"],
            kept["short"],
        )
    except (KeyError, TypeError, ValueError):
        return None
