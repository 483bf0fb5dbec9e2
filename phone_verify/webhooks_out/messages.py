"""Messages of outgoing webhooks, in the form of Standard Webhooks.

A message holds no code, no secret and no full number: a phone is represented by its masked hint. The
receiver knows the number by the id of the verification, which it got when it started it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class WebhookEvent(StrEnum):
    """A change of a verification that an endpoint can receive."""

    SENT = "verification.sent"
    DELIVERED = "verification.delivered"
    VERIFIED = "verification.verified"
    FAILED = "verification.failed"
    EXPIRED = "verification.expired"


EVENTS = frozenset(WebhookEvent)
#: A verification has several of these, one for each time it was sent.
_OF_A_SEND = (WebhookEvent.SENT, WebhookEvent.DELIVERED)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a verification, as its service receives it.

    `send` is the number of the send it belongs to; `status` that of the verification after the change,
    as in the HTTP API; `hint` the masked number; `at` when it happened.
    """

    event: WebhookEvent
    verification: str
    send: int
    service: str
    purpose: str
    channel: str
    status: str
    hint: str
    at: datetime

    @property
    def id(self) -> str:
        """The id of the message: the same whenever and however often it is computed.

        All ends of a verification have the same, so that an endpoint receives one.
        """
        what = f"{self.event}\n{self.send}" if self.event in _OF_A_SEND else "ended"
        digest = hashlib.sha256(f"{self.verification}\n{what}".encode()).digest()
        return "msg_" + base64.urlsafe_b64encode(digest[:18]).decode()

    @property
    def body(self) -> str:
        """The body: JSON with `type`, `timestamp` and `data`."""
        data = {
            "verification_id": self.verification,
            "status": self.status,
            "service": self.service,
            "purpose": self.purpose,
            "channel": self.channel,
            "phone_hint": self.hint,
            "send": self.send,
        }
        return body_of(self.event, self.at, data)


def body_of(type: str, at: datetime, data: dict[str, object]) -> str:
    """Return the body of a message."""
    timestamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": type, "timestamp": timestamp, "data": data}, separators=(",", ":"))
