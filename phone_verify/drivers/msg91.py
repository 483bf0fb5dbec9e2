"""MSG91: our code in a template of the account, through the OTP request.

Requests and responses are those of published clients. The `type` in the response decides, since errors
have HTTP 200 too; they have no codes, and the meaning of their texts is assumed. The code is ours, so
the provider's own check and retry are not used. The validity is sent in whole minutes, rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Order, Receipt
from .base import Ability
from .kinds.json_api import Fault, JsonDriver
from .options import Option, matching
from .reading import our_code, reference_of

_MINUTE = timedelta(minutes=1)
_LONGEST_EXPIRY = 1440


@dataclass(frozen=True)
class Msg91(JsonDriver):
    """SMS through the request `otp`."""

    scheme: ClassVar[str] = "msg91"
    provider: ClassVar[str] = "MSG91 (India)"
    default_host: ClassVar[str | None] = "control.msg91.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("authkey",),)
    options: ClassVar[Mapping[str, Option]] = {
        "template_id": Option(
            "",
            matching("[0-9A-Za-z]{1,64}", "its id, of letters and digits"),
            "000000000000000000000001",
            "the id of the OTP template in the panel; India requires one with DLT approval",
            required=True,
        ),
        "sender": Option(
            None,
            matching("[0-9A-Za-z]{1,11}", "its up to 11 letters and digits"),
            meaning="the sender id; the template's if absent",
        ),
    }
    # The sources have more texts, about wrong or expired codes: of requests that this driver does not send.
    error_words: ClassVar[Mapping[str, FailureKind]] = {
        "authkey": FailureKind.CONFIGURATION,
        "template": FailureKind.CONFIGURATION,
        "balance": FailureKind.BALANCE,
        "max limit": FailureKind.RATE,
        "mobile": FailureKind.BAD_NUMBER,
    }

    authkey: str = field(repr=False)
    template_id: str
    sender: str | None

    def __post_init__(self) -> None:
        self.require_token("authkey")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code."""
        minutes = -(-order.ttl // _MINUTE)
        fields = {
            "template_id": self.template_id,
            "mobile": order.phone.e164[1:],
            "otp": our_code(order),
            "otp_expiry": min(max(1, minutes), _LONGEST_EXPIRY),
            **({"sender": self.sender} if self.sender else {}),
        }
        request = HttpRequest.post_json(f"{self.base_url}/api/v5/otp", fields, {"authkey": self.authkey})
        reference = reference_of((yield from self.ask(request)).get("request_id"))
        if reference is None:
            raise self.unclear("request_id")
        return Receipt(reference)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of the `type` of this name."""
        return Fault("", document.get("message")) if document.get("type") == "error" else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether the `type` is a success."""
        return document.get("type") == "success"


DRIVER = Msg91
