"""Numbers of your own at Twilio, Telnyx, Vonage or Plivo: the user calls one, and the call is rejected unanswered.

The pool is in the option `pool`; each claim leases one line of it. Nothing is requested: set the
webhook URL as the voice URL of each number, by POST, and write the vendor in `by`. The credential
checks the signatures: the auth token of Twilio or Plivo, the public key of Telnyx, the signature
secret of Vonage. Fields, signatures and rejections are the vendors'; a Telnyx number needs a TeXML
application. The attestation counts as the vendor verified it: `StirVerstat` (Twilio, calls that
were not diverted), `ShakenStirAttestation` (Telnyx). Assumed: that Telnyx sends it in the first
request too, that Plivo's field is named `STIRVerification` (`Not Verified`, B or C, counts as C),
that Vonage ends a call without an answer for an empty NCCO, and that it reports no attestation; the
option `attestation` names another field. Plivo's and Twilio's signatures have no time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, Rejected, WebhookReply, WebhookRequest
from ..model import Channel, CodeSource, IncomingCall, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability, Driver
from .kinds.inbound_call import readable_line
from .kinds.signed_token import require
from .kinds.vendor_signatures import telnyx_public_key
from .kinds.voice_webhooks import VOICE_VENDORS, VoiceVendor
from .options import Dsn, Option, matching, one_of

#: Of every start, all lines are looked up.
MOST_LINES = 100

_LEASE = re.compile(r"[0-9]{2,3}")
_SHORTEST_LEASE, _LONGEST_LEASE = 60, 600


def _pool(text: str) -> Sequence[PhoneNumber]:
    if text.startswith("/"):
        try:
            written = Path(text).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read ({type(error).__name__})") from None
    else:
        written = text.split(",")
    lines = [readable_line(line.strip()) for line in written if line.strip()]
    found = [line for line in lines if line is not None]
    if not found or len(found) < len(lines):
        raise ValueError("write numbers in E.164, with + as %2B and , between them, or the path of a file, one a line")
    if len(set(found)) < len(found) or len(found) > MOST_LINES:
        raise ValueError(f"write each number once, and at most {MOST_LINES}")
    return tuple(found)


def _lease(text: str) -> int:
    if not _LEASE.fullmatch(text) or not _SHORTEST_LEASE <= int(text) <= _LONGEST_LEASE:
        raise ValueError(f"write seconds from {_SHORTEST_LEASE} to {_LONGEST_LEASE}")
    return int(text)


@dataclass(frozen=True)
class Lines(Driver):
    """Inbound calls to numbers of the site's own."""

    scheme: ClassVar[str] = "lines"
    provider: ClassVar[str] = "numbers of your own"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("key",),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "by": Option(
            "",
            one_of(*VOICE_VENDORS),
            "twilio",
            "whose numbers they are",
            required=True,
        ),
        "pool": Option(
            (),
            _pool,
            "%2B15005550001,%2B15005550002",
            f"the numbers, at most {MOST_LINES}, or the absolute path of a file with one in each line",
            required=True,
        ),
        "lease": Option(180, _lease, meaning="how many seconds a user has for the call, which leases the line"),
        "attestation": Option(
            None,
            matching("[A-Za-z0-9_]{1,40}", "the name of the field"),
            meaning="the field of the webhook with the attestation, in place of the vendor's",
        ),
    }

    key: str = field(repr=False)
    by: str
    pool: Sequence[PhoneNumber]
    lease: int
    attestation: str | None

    def __post_init__(self) -> None:
        if self.by == "telnyx":
            require("cryptography", "by")
            telnyx_public_key(self.key)
        elif self.by == "vonage":
            require("jwt", "by")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Calls to a line, which are not answered."""
        life, attests = timedelta(seconds=self.lease), bool(self._attestation)
        return {Channel.INBOUND_CALL: Ability(CodeSource.NONE, cap=life, attests=attests)}

    @property
    def webhook_answer(self) -> WebhookReply:
        """The response that rejects the call, whether or not it verifies anything."""
        return self._vendor.rejection

    def start(self, order: Order) -> Exchange[Receipt]:
        """Return the line that the claim has leased, without a request."""
        yield from ()
        if order.line not in self.pool:
            raise ProviderError(FailureKind.CONFIGURATION, "the order has no line of the pool")
        return Receipt(line=order.line)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | Rejected | None:
        """Parse the call that a webhook reports, after its signature."""
        if (reason := self._vendor.refuses(self.key, request)) is not None:
            return Rejected(reason)
        return self._vendor.call_of(request, self.pool, self._attestation)

    @property
    def is_local(self) -> bool:
        """Its lines are numbers of the phone network."""
        return False

    @property
    def _vendor(self) -> VoiceVendor:
        return VOICE_VENDORS[self.by]

    @property
    def _attestation(self) -> str:
        return self.attestation or self._vendor.attestation

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        return ""


DRIVER = Lines
