"""WhatsApp Cloud API (Meta): our code in an approved template of the category `authentication`.

Requests, the webhook's signature and its challenge are those of the vendor's docs; what most error
codes mean is assumed. Meta retires old versions of the Graph API: the default `version` is our choice.
An accepted message may still fail, which only a webhook reports, so set `app_secret`, and
`verify_token` to register the URL. The signature has no time, so a repeated report is not detected.
A message id contains the recipient's number, so the reference is its SHA-256 hash.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, Rejected, WebhookReply, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, Receipt
from .base import Ability
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of, only, part_of
from .kinds.signatures import is_same
from .options import Option, matching, secret
from .reading import our_code

#: The states of a message that are final; all others are in transit.
_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "failed": DeliveryState.UNDELIVERED,
}
#: The codes of missing permissions, which have one meaning.
_PERMISSION, _PERMISSIONS = "200-299", {str(code) for code in range(200, 300)}


@dataclass(frozen=True)
class WhatsApp(JsonDriver):
    """WhatsApp messages from a business number, whose id and access token are the credentials."""

    scheme: ClassVar[str] = "whatsapp"
    provider: ClassVar[str] = "WhatsApp Cloud API"
    default_host: ClassVar[str | None] = "graph.facebook.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("phone_number_id", "access_token"),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "template": Option(
            "",
            matching("[a-z0-9_]{1,512}", "its name, of a-z, 0-9 and _"),
            "login_code",
            "the name of the approved authentication template, which has a button that copies the code",
            required=True,
        ),
        "language": Option(
            "en_US", matching("[a-z]{2,3}(_[A-Z]{2,3})?", "a code like en_US"), meaning="the template's language"
        ),
        "version": Option(
            "v24.0", matching(r"v[1-9][0-9]\.[0-9]", "a version like v24.0"), meaning="the version of the Graph API"
        ),
        "app_secret": Option(None, secret, meaning="the app's secret; without it, all reports are rejected"),
        "verify_token": Option(
            None, secret, meaning="the token that you write in Meta's panel when you register the webhook"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "131021 131026",
            FailureKind.CONFIGURATION: (
                f"0 3 10 190 {_PERMISSION} 368 131031 132000 132001 132005 132007 132012 132015"
            ),
            FailureKind.BALANCE: "131042",
            FailureKind.RATE: "4 80007 130429 131056",
            FailureKind.TRANSIENT: "1 2 131000 131016",
        }
    )

    phone_number_id: str = field(repr=False)
    access_token: str = field(repr=False)
    template: str
    language: str
    version: str
    app_secret: str | None = field(repr=False)
    verify_token: str | None = field(repr=False)

    def __post_init__(self) -> None:
        self.require_token("access_token")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """WhatsApp with our code."""
        return {Channel.WHATSAPP: Ability(CodeSource.LOCAL)}

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials, and the secrets of the webhooks."""
        more = {"app_secret": self.app_secret, "verify_token": self.verify_token}
        return {**super().credentials, **{name: value for name, value in more.items() if value}}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code, in the body and in the button."""
        parameters = [{"type": "text", "text": our_code(order)}]
        template = {
            "name": self.template,
            "language": {"code": self.language},
            "components": [
                {"type": "body", "parameters": parameters},
                {"type": "button", "sub_type": "url", "index": "0", "parameters": parameters},
            ],
        }
        fields = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": order.phone.e164[1:],
            "type": "template",
            "template": template,
        }
        url = f"{self.base_url}/{self.version}/{quote(self.phone_number_id, safe='')}/messages"
        headers = {"Authorization": f"Bearer {self.access_token}"}
        document = yield from self.ask(HttpRequest.post_json(url, fields, headers))
        reference = _reference(only(document.get("messages")).get("id"))
        if reference is None:
            raise self.unclear("message id")
        return Receipt(reference)

    def parse_webhook(
        self, request: WebhookRequest
    ) -> DeliveryReport | tuple[DeliveryReport, ...] | WebhookReply | Rejected | None:
        """Parse the states of messages, after their signature, or answer the request that registers the
        URL.
        """
        if request.method == "GET":
            return self._challenge(request)
        if not self.app_secret:
            return Rejected("write the option app_secret to check signatures")
        digest = hmac.new(self.app_secret.encode(), request.body, sha256).hexdigest()
        if not is_same(f"sha256={digest}", request.headers.get("x-hub-signature-256", "")):
            return Rejected("the signature is missing or wrong")
        reports = tuple(filter(None, map(self._report, _statuses(request.json()))))
        return reports if len(reports) > 1 else reports[0] if reports else None

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error, by its code."""
        return _fault(document["error"]) if document.get("error") else None

    def _challenge(self, request: WebhookRequest) -> WebhookReply | Rejected:
        if not self.verify_token:
            return Rejected("write the option verify_token to register the webhook")
        challenge = request.once("hub.challenge")
        is_known = is_same(self.verify_token, request.once("hub.verify_token") or "")
        if not is_known or request.once("hub.mode") != "subscribe" or challenge is None:
            return Rejected("the verify_token is missing or wrong")
        return WebhookReply(challenge)

    def _report(self, status: Mapping[str, Any]) -> DeliveryReport | None:
        reference, state = _reference(status.get("id")), status.get("status")
        if reference is None or not isinstance(state, str):
            return None
        errors = status.get("errors")
        fault = _fault(errors[0]) if isinstance(errors, list) and errors else Fault("")
        parts = (state, self.errors.get(fault.code), fault.said)
        said = ": ".join(part for part in parts if isinstance(part, str) and part)
        return DeliveryReport(reference, _STATES.get(state, DeliveryState.OPEN), self.redact(said))


def _fault(error: object) -> Fault:
    """Return the error that an object describes; its details say the most."""
    code = code_of(part_of(error).get("code"))
    said = (part_of(error).get("message"), part_of(error, "error_data").get("details"))
    text = ": ".join(words for words in said if isinstance(words, str))
    return Fault(_PERMISSION if code in _PERMISSIONS else code, text)


def _reference(id: object) -> str | None:
    """Return the hash of a message id; None if it is not one."""
    return sha256(id.encode("utf-8", "surrogatepass")).hexdigest() if isinstance(id, str) and id else None


def _statuses(document: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in `entry[].changes[].value.statuses[]`."""
    for entry in _objects(part_of(document).get("entry")):
        for change in _objects(entry.get("changes")):
            yield from _objects(part_of(change, "value").get("statuses"))


def _objects(parts: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list."""
    yield from (part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()


DRIVER = WhatsApp
