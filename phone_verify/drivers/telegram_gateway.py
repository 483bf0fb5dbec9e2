"""Telegram Gateway: sends our code in a Telegram message.

`ok` in the body decides, and `error` is the reason (provider docs); there is no published list of
errors, nor of their HTTP statuses. The code is always ours, so the provider's own check, which may
accept a code twice, is not used. `request_cost` is what the send costs, in US dollars.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest, is_token
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, Receipt
from .base import Ability, Driver
from .options import Option
from .reading import our_code, price_of, reference_of, trouble_of_status

#: The first from the docs, the others from published clients and an integrator's notes; the balance
#: and the words by their beginnings are assumed.
_TROUBLES = (
    ("ACCESS_TOKEN_", FailureKind.CONFIGURATION),
    ("PHONE_NUMBER_", FailureKind.BAD_NUMBER),
    ("FLOOD_WAIT_", FailureKind.RATE),
    ("BALANCE_", FailureKind.BALANCE),
    ("REQUEST_ID_INVALID", FailureKind.CONFIGURATION),
    ("CODE_INVALID", FailureKind.CONFIGURATION),
)

#: Of the delivery; `expired` is a message that never arrived, and is refunded (provider docs).
_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "expired": DeliveryState.UNDELIVERED,
    "revoked": DeliveryState.UNDELIVERED,
}

_ABILITIES = {Channel.TELEGRAM: Ability(CodeSource.LOCAL, shortest=4, longest=8, webhook_url=True)}
_SHORTEST_TTL, _LONGEST_TTL = 30, 3600
_LONGEST_URL = 256
_SENDER = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}")
_TIME = re.compile(r"[0-9]{1,11}")
_LONGEST_AGE = timedelta(minutes=5)


def _sender(text: str) -> str:
    if not _SENDER.fullmatch(text):
        raise ValueError("write the username of your verified channel, without @")
    return text


@dataclass(frozen=True)
class TelegramGateway(Driver):
    """Telegram messages through Telegram Gateway. `sender` is a verified channel of the account."""

    scheme: ClassVar[str] = "telegram-gateway"
    provider: ClassVar[str] = "Telegram Gateway"
    default_host: ClassVar[str | None] = "gatewayapi.telegram.org"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(None, _sender, meaning="the username of your verified channel, without `@`")
    }
    signs_webhooks: ClassVar[bool] = True

    token: str = field(repr=False)
    sender: str | None

    def __post_init__(self) -> None:
        if not is_token(self.token):
            raise ValueError("a token that is not printable ASCII without spaces cannot be sent in a header")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Telegram messages with our code of four to eight digits."""
        return _ABILITIES

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send our code, which the provider shows for the order's lifetime."""
        ttl = int(order.ttl.total_seconds())
        document: dict[str, object] = {
            "phone_number": order.phone.e164,
            "code": our_code(order),
            "ttl": min(max(ttl, _SHORTEST_TTL), _LONGEST_TTL),
        }
        if self.sender:
            document["sender_username"] = self.sender
        url = order.webhook_url
        # Another one would refuse the message; reports are only information.
        if url and len(url.encode()) <= _LONGEST_URL and (url.startswith("https://") or self.is_local):
            document["callback_url"] = url
        result = yield from self._ask("sendVerificationMessage", document)
        price = price_of(result.get("request_cost"))
        return Receipt(self._reference(result), price=price, currency=None if price is None else "USD")

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the delivery by `checkVerificationStatus`, without a code."""
        result = yield from self._ask("checkVerificationStatus", {"request_id": reference})
        if self._reference(result) != reference:
            raise UnclearError("telegram-gateway: the response is about another message")
        return self._report(reference, result)

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse a report of the delivery."""
        sent = request.headers.get("x-request-timestamp", "")
        presented = request.headers.get("x-request-signature", "").lower()
        key = sha256(self.token.encode()).digest()
        message = sent.encode("utf-8", "surrogatepass") + b"\n" + request.body
        signature = hmac.new(key, message, sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), presented.encode("utf-8", "surrogatepass")):
            return Rejected("the signature is missing or wrong")
        if request.received_at is None or not _TIME.fullmatch(sent):
            return Rejected("the signature has no time")
        if abs(request.received_at - datetime.fromtimestamp(int(sent), UTC)) > _LONGEST_AGE:
            return Rejected("the signature is too old, or in the future")
        result = request.json()
        reference = reference_of(result.get("request_id")) if isinstance(result, dict) else None
        if reference is None or not isinstance(result.get("delivery_status"), dict):
            return None
        return self._report(reference, result)

    def _reference(self, result: Mapping[str, Any]) -> str:
        reference = reference_of(result.get("request_id"))
        if reference is None:
            raise UnclearError("telegram-gateway: the response has no readable request_id")
        return reference

    def _report(self, reference: str, result: Mapping[str, Any]) -> DeliveryReport:
        status = result.get("delivery_status")
        word = status.get("status") if isinstance(status, dict) else None
        state = _STATES.get(word, DeliveryState.OPEN) if isinstance(word, str) else DeliveryState.OPEN
        return DeliveryReport(reference, state, self.redact(word))

    def _ask(self, method: str, fields: Mapping[str, object]) -> Exchange[Mapping[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        response = yield HttpRequest.post_json(f"{self.base_url}/{method}", fields, headers)
        document = response.json()
        answer = document if isinstance(document, dict) else {}
        if not response.ok or answer.get("ok") is False:
            error = answer.get("error")
            refusal = trouble_of_status(response, self.redact(error))
            word = error if isinstance(error, str) else ""
            trouble = next((kind for start, kind in _TROUBLES if word.startswith(start)), refusal.trouble)
            raise ProviderError(trouble, refusal.detail)
        result = answer.get("result")
        if answer.get("ok") is not True or not isinstance(result, dict):
            raise UnclearError("telegram-gateway: the response has no readable ok and result")
        return result


DRIVER = TelegramGateway
