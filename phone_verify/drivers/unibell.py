"""Unibell (Russia): a call from a number that ends in our code, or a line to call ("Call Me").

Requests, error codes and the webhook are those of the provider's docs. A code is sent as a number,
as there, but one with a leading zero as a text, as clients do; that the zero survives is assumed.
Call Me has no request: the line is that of the option `line`, and the unsigned webhook, whose URL
and parameters are set in the provider's panel, is the only report of a call. Its default parameters
are read: `phone`, `routingKey` (the line) and `status`, in a JSON object, a form or a query; a call
counts if `status` is true or absent. It has no reference, so the line serves one verification of a
phone at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, IncomingCall, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.inbound_call import LINE, readable_line
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of, part_of
from .options import Option, matching, one_of
from .reading import number_of, our_code, reference_of

_LENGTH = 4
_TIMEOUT_MILLISECONDS = 60_000
_CALLER = re.compile(r"\+?([0-9]{8,15})")


@dataclass(frozen=True)
class Unibell(JsonDriver):
    """Flash calls and inbound calls through Unibell."""

    scheme: ClassVar[str] = "unibell"
    provider: ClassVar[str] = "Unibell"
    default_host: ClassVar[str | None] = "api.unibell.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    options: ClassVar[Mapping[str, Option]] = {
        "line": LINE,
        "line_answer": Option(
            "announcement", one_of("announcement", "none"), meaning="what a caller of the line hears"
        ),
        "webhook_caller": Option(
            "phone",
            matching("[A-Za-z0-9_.-]{1,40}", "the name of the parameter"),
            meaning="the name of the caller in the webhook, as set in the provider's panel",
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "11",
            FailureKind.CONFIGURATION: (
                "1 2 5 10 invalidAccessKeyError requiredJsonError invalidSchemeError invalidDataError "
                "prohibitedForAppError prohibitedForServiceError"
            ),
            FailureKind.BALANCE: "6",
            FailureKind.RATE: "4",
        }
    )

    token: str = field(repr=False)
    line: PhoneNumber | None
    line_answer: str
    webhook_caller: str

    def __post_init__(self) -> None:
        self.require_token("token")
        if self.webhook_caller in ("routingKey", "status"):
            raise ValueError("webhook_caller must be a name other than routingKey and status")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with our code of four digits, and a line if one is set."""
        flash = {Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=_LENGTH, longest=_LENGTH)}
        line = Ability(CodeSource.NONE, announced=self.line_answer == "announcement")
        return flash if self.line is None else {**flash, Channel.INBOUND_CALL: line}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Ring from a number that ends in our code, or return the line without a request."""
        if order.channel is Channel.INBOUND_CALL:
            return Receipt(line=self.line)
        code = our_code(order)
        number = code if code.startswith("0") else int(code)
        fields = {"number": order.phone.e164[1:], "code": number, "timeout": _TIMEOUT_MILLISECONDS}
        headers = {"X-Authorization": f"AccessKey {self.token}"}
        document = yield from self.ask(
            HttpRequest.post_json(f"{self.base_url}/apps/flash/calls/flash", fields, headers)
        )
        return Receipt(reference_of(document.get("requestId")), caller_hint=_hint_in(document.get("from"), code))

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        """Parse the call that a webhook reports: the caller, and the line or else that of the option."""
        document = part_of(request.json())
        caller, called, status = (
            document.get(name) if document else request.once(name)
            for name in (self.webhook_caller, "routingKey", "status")
        )
        line = self.line if called is None else readable_line(called)
        phone = number_of("+" + caller.strip().removeprefix("+")) if isinstance(caller, str) else None
        succeeded = status in (None, "true", "True") or status is True
        return IncomingCall(None, line, phone) if succeeded and line and phone and self.line else None

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error, or that of the platform in `status`; its `rpcError` is no refusal."""
        code, status = code_of(document.get("errorCode")), code_of(document.get("status"))
        if code:
            return Fault(code, document.get("errorReason"))
        return Fault(status) if status in self.errors and not status.isdecimal() else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether there is a `requestId`."""
        return reference_of(document.get("requestId")) is not None


def _hint_in(caller: object, code: str) -> str | None:
    """Return the digits before the code in the number that rings."""
    found = _CALLER.fullmatch(caller) if isinstance(caller, str) else None
    return f"+{found[1].removesuffix(code)}" if found and found[1].endswith(code) else None


DRIVER = Unibell
