"""The JSON representation of a verification for its holder."""

from __future__ import annotations

import math
from datetime import datetime

from ..http.qr import svg_data_uri
from ..lines import number_to_call
from ..model import Assurance, Channel, Outcome, Status, Verification


def verification(outcome: Outcome) -> dict[str, object]:
    """Return the JSON of the API. Fields that do not apply to the channel are None."""
    record = outcome.verification
    if record is None:
        raise ValueError("this outcome has no verification")
    return {
        "id": record.id,
        "status": str(record.state),
        "purpose": record.purpose,
        "channel": str(record.channel),
        "channels": [str(channel) for channel in outcome.channels],
        "phone_hint": record.phone.hint,
        "code_length": record.code_length if record.has_code else None,
        "attempts_left": record.attempts_left if record.has_code else None,
        "expires_in": seconds_left(record, record.expires_at),
        "resend_in": seconds_left(record, record.resend_at),
        "caller_hint": record.caller_hint if record.channel_of_code is Channel.FLASH_CALL else None,
        "dial": dial(record),
        "proof": outcome.proof,
        **_attested(record),
        **_combined(record, outcome),
        **_failed(outcome),
    }


def _attested(record: Verification) -> dict[str, object]:
    """Return the field of a verified call whose caller was attested; other bodies have no such field."""
    attested = record.status is Status.VERIFIED and record.assurance is Assurance.CALLER_ID_ATTESTED
    return {"assurance": record.assurance.value} if attested else {}


def _combined(record: Verification, outcome: Outcome) -> dict[str, object]:
    """Return the field that only verifications for purposes of several channels have."""
    if not outcome.channels_left and not record.proved_channels:
        return {}
    return {"channels_left": [channel.value for channel in outcome.channels_left]}


def _failed(outcome: Outcome) -> dict[str, object]:
    """Return the field of an order that was accepted and that no provider carried afterwards."""
    return {"cause": outcome.cause.value} if outcome.ok and outcome.cause is not None else {}


def dial(record: Verification) -> dict[str, str] | None:
    """Return the number to call, as number, link and QR code; None without such a number."""
    line = number_to_call(record)
    if line is None or not record.open:
        return None
    uri = f"tel:{line.e164}"
    return {"number": line.e164, "uri": uri, "qr": svg_data_uri(uri)}


def seconds_left(record: Verification, end: datetime) -> int:
    """Return whole seconds to `end`, rounded up; 0 if it has passed or the verification is closed."""
    return max(0, math.ceil((end - record.read_at).total_seconds())) if record.open else 0
