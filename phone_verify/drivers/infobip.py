"""PINs by SMS and voice call that Infobip generates and checks (2FA API).

Create a 2FA application and a message template with `{{pin}}` at Infobip first, and name both. Each
account has its own host. A resend is a new PIN: the API's own resend repeats a PIN whose attempts may
be used up.

Requests and responses are those of the vendor's clients. Only the form of an error is certain: what an
HTTP status means, and that 404 with an error of this form says that a PIN is gone, is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind, UnclearError
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.json_api import Fault, by_kind, code_of, part_of
from .kinds.remote_code import RemoteCodeDriver, known
from .options import Option, matching
from .reading import reference_of

#: For each channel, the end of the path, the field with the status, and the status of a success.
_SENDS = {
    Channel.SMS: ("/2fa/2/pin", "smsStatus", "MESSAGE_SENT"),
    Channel.VOICE: ("/2fa/2/pin/voice", "callStatus", "PENDING_ACCEPTED"),
}
_NOT_SENT = "MESSAGE_NOT_SENT"
_id = matching("[!-~]{1,64}", "its id")


def _length(text: str) -> int:
    return int(matching("[4-9]|10", "a number from 4 to 10")(text))


@dataclass(frozen=True)
class Infobip(RemoteCodeDriver):
    """PINs of one application and one message template."""

    scheme: ClassVar[str] = "infobip"
    provider: ClassVar[str] = "Infobip 2FA"
    example_host: ClassVar[str] = "id.api.infobip.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key",),)
    options: ClassVar[Mapping[str, Option]] = {
        "application": Option("", _id, "A1", "the id of the 2FA application", required=True),
        "message": Option("", _id, "M1", "the id of the message template", required=True),
        "sender": Option(None, matching("[0-9A-Za-z ]{3,15}", "a number without +, or a name"), meaning="who sends"),
        "code_length": Option(
            None, _length, meaning="the length of a PIN in the template, 4 to 10; an unknown one counts as short"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "NC_DESTINATION_UNKNOWN NC_DESTINATION_NOT_REACHABLE",
            FailureKind.CONFIGURATION: "UNAUTHORIZED NOT_FOUND",
            FailureKind.RATE: "TOO_MANY_REQUESTS",
            FailureKind.UNKNOWN: _NOT_SENT,
        }
    )
    #: The PIN is gone. The name of that error is not known.
    wrong_statuses: ClassVar[frozenset[int]] = frozenset({404})

    api_key: str = field(repr=False)
    application: str
    message: str
    sender: str | None
    code_length: int | None

    def __post_init__(self) -> None:
        self.require_token("api_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and calls, with a code of the length that the option names."""
        return dict.fromkeys(_SENDS, Ability(CodeSource.REMOTE_CHECK, fixed_length=self.code_length))

    def start(self, order: Order) -> Exchange[Receipt]:
        """Let Infobip send a PIN."""
        path, name, success = _SENDS[order.channel]
        fields = {"applicationId": self.application, "messageId": self.message, "to": order.phone.e164[1:]}
        if self.sender:
            fields["from"] = self.sender
        document = yield from self.ask(HttpRequest.post_json(self.base_url + path, fields, self._headers))
        reference = reference_of(document.get("pinId"))
        if reference is None:
            raise self.unclear("pinId")
        if document.get(name) != success:
            raise UnclearError(f"{self.scheme}: the response has no readable {name}", reference=reference)
        return Receipt(reference)

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the request that asks whether the PIN is right."""
        url = f"{self.base_url}/2fa/2/pin/{quote(known(reference), safe='')}/verify"
        return HttpRequest.post_json(url, {"pin": code}, self._headers)

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return `verified`, which alone decides; `pinError` only says why a PIN is wrong."""
        verified = document.get("verified")
        return verified if isinstance(verified, bool) else None

    def order_in(self, document: Mapping[str, Any]) -> str | None:
        """Return the id of the PIN."""
        return reference_of(document.get("pinId"))

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a `requestError`, or of a message that was not sent, which has HTTP 200."""
        if "requestError" in document:
            error = part_of(document, "requestError", "serviceException")
            return Fault(code_of(error.get("messageId")), error.get("text"))
        if _NOT_SENT not in (document.get("smsStatus"), document.get("callStatus")):
            return None
        reachable = code_of(document.get("ncStatus"))
        return Fault(reachable if reachable in self.errors else _NOT_SENT)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"App {self.api_key}", "Accept": "application/json"}


DRIVER = Infobip
