"""Amoot SMS (Iran): sends our code in an SMS, using a template in the site's Amoot panel.

The HTTP status is meaningless: it is always 200, and `Status` in the body decides, by name or by
number (provider docs, "Status codes" and SendQuickOTP). The code is always ours, so it does not
matter how the reply formats it. Delivery can be queried, or is reported by an unsigned webhook;
neither proves anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .base import Ability, NationalDriver
from .options import Option, one_of
from .reading import amount_of, our_code, reference_of, trouble_of_status

_SUCCESS = {1: "Success"}

#: Every other status of the provider's table. The numbers and names come from the docs; the
#: grouping is assumed, except that a status of another method (delivery, address book, voice) can
#: only be UNKNOWN here.
_REFUSALS: Mapping[FailureKind, Mapping[int, str]] = {
    FailureKind.BAD_NUMBER: {16: "Mobile_Empty", 101: "Mobile_Invalid"},
    FailureKind.BALANCE: {2: "AccountIsDemo", 4: "CreditNotEnough"},
    FailureKind.TRANSIENT: {0: "Failed", 500: "ServerError", -300: "System_Disabled"},
    FailureKind.CONFIGURATION: {
        5: "LineNumber_NotExist",
        12: "LineNumber_Empty",
        100: "UserNameOrPassword_Invalid",
        # The length of our code, which is a setting, not visitor input.
        120: "Length_Invalid",
        121: "Length_Exceeded",
        -1: "User_NotExists",
        -102: "User_MobileNotVerified",
        -103: "User_Disabled",
        -104: "User_Expired",
        -105: "User_WebServiceBanned",
        -106: "User_NotAllowWebService",
        -107: "User_NotAllowIP",
        -108: "User_NotAllowMethod",
        -109: "User_NotAllowHttp",
        -201: "Token_NotExists",
        -202: "Token_Invalid",
        -203: "Token_Disabled",
        -204: "Token_Expired",
        -207: "Token_NotAllowIP",
        -208: "Token_NotAllowMethod",
    },
    FailureKind.UNKNOWN: {
        6: "BackupLineNumber_NotExist",
        7: "Avanak_NotAvailable",
        10: "UserName_Empty",
        11: "Password_Empty",
        13: "BackupLineNumber_Empty",
        14: "SMSMessageText_Empty",
        15: "AvanakMessageText_Empty",
        17: "Mobiles_Empty",
        18: "Title_Empty",
        19: "FirstNameOrLastName_Empty",
        20: "URLAddress_Empty",
        102: "Mobiles_Invalid",
        103: "Count_Invalid",
        104: "FromRow_Invalid",
        105: "FromDate_Invalid",
        106: "FromDateTime_Invalid",
        107: "ToDate_Invalid",
        108: "ToDateTime_Invalid",
        109: "FromDateIsAfterThanToDate",
        110: "FromDateTimeIsAfterThanToDateTime",
        111: "MessageID_Invalid",
        112: "BulkID_Invalid",
        113: "ContactID_Invalid",
        114: "ContactGroupID_Invalid",
        115: "CourseID_Invalid",
        116: "CourseGroupID_Invalid",
        117: "URLAddress_Duplicate",
        118: "RelayMessageDeliveryID_Invalid",
        119: "RelayRecieveMessageID_Invalid",
    },
}
_NAMES = _SUCCESS | {number: name for names in _REFUSALS.values() for number, name in names.items()}
_TROUBLES = {name: trouble for trouble, names in _REFUSALS.items() for name in names.values()}
#: The docs name no status for a missing template; for a send, `Failed` is assumed to mean that.
_SEND_TROUBLES = {**_TROUBLES, "Failed": FailureKind.CONFIGURATION}

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,3})")
#: The only values of `DeliveryType` whose meaning is known, the first assumed: no table is
#: published.
_DELIVERED = ("1", "Delivered")
_MESSAGE_ID = re.compile(r"[1-9][0-9]{0,18}")
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)
_ABILITIES = {Channel.SMS: Ability(CodeSource.LOCAL, shortest=4, longest=8)}  # provider docs, CodeLength


@dataclass(frozen=True)
class Amoot(NationalDriver):
    """SMS through Amoot's `SendQuickOTP`."""

    scheme: ClassVar[str] = "amoot"
    provider: ClassVar[str] = "Amoot"
    default_host: ClassVar[str | None] = "portal.amootsms.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "auth": Option(
            "header", one_of("header", "form"), meaning="where the token is sent: in `Authorization`, or in the form"
        ),
    }
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})

    token: str = field(repr=False)
    auth: str

    def __post_init__(self) -> None:
        if self.auth == "header" and not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("a token that is not printable ASCII cannot be sent in a header; set auth=form")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return _ABILITIES

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The message and its state."""
        return ("MessageID",), ("DeliveryType",)

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the order's code by SMS."""
        code = our_code(order)
        # The server accepts 912… and 0912… (provider docs and sample programs); 912… is the older
        # of the two.
        fields = {"Mobile": self.written(order.phone), "CodeLength": str(len(code)), "OptionalCode": code}
        parts = self._parts((yield from self._called("SendQuickOTP", fields)), _SEND_TROUBLES)
        for part in parts:
            # A code that arrives as a number may have lost its leading zeros.
            if part.get("Code") not in (None, "") and str(part["Code"]).strip().zfill(len(code)) != code:
                raise ProviderError(FailureKind.UNKNOWN, "a different code was sent")
        references = (reference_of(part.get("MessageID")) for part in reversed(parts))
        return Receipt(reference=next(filter(None, references), None))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query `GetDelivery`. Anything not clearly delivered is open: the docs have no table of
        the types.
        """
        parts = yield from self._ask("GetDelivery", {"MessageID": reference})
        told: Mapping[str, Any] = next((part for part in reversed(parts) if "DeliveryType" in part), {})
        if reference_of(told.get("MessageID", reference)) != reference:
            raise UnclearError("amoot: the response is about another message")
        kind = told.get("DeliveryType")
        if type(kind) is not int and (not isinstance(kind, str) or not kind.strip()):
            raise UnclearError("amoot: the response has no readable DeliveryType")
        return self._event(reference, str(kind))

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | None:
        """Parse a delivery report. Integrators saw a GET with each value in double quotes, the docs
        say POST.
        """
        id, kind = (_unquoted(request.once(name)) for name in ("MessageID", "DeliveryType"))
        if not _MESSAGE_ID.fullmatch(id) or not kind:
            return None
        return self._event(id, kind)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credit by `AccountStatus`, in rials."""
        parts = yield from self._ask("AccountStatus", {})
        return ProviderAccount(amount_of(parts[0].get("RemaindCredit")), "IRR")  # their spelling

    def missing(self) -> Exchange[str]:
        """Query `PatternCodeList` for a template that `SendQuickOTP` can use: one with the OTP option.

        Whether the operator has approved it cannot be determined: the docs have no table of a
        template's own `Status`.
        """
        document = yield from self._called("PatternCodeList", {})
        # A template's own `Status` is not an outcome.
        self._parts({"Status": document.get("Status")} if isinstance(document, dict) else document)
        templates = document.get("Data")
        if not isinstance(templates, list):
            raise UnclearError("amoot: the response has no list of templates")
        if any(isinstance(item, dict) and item.get("IsOTP") is True for item in templates):
            return ""
        return "the panel has no template with the OTP option, so every message is refused"

    def _event(self, reference: str, kind: str) -> DeliveryReport:
        if kind in _DELIVERED:
            return DeliveryReport(reference, DeliveryState.DELIVERED)
        return DeliveryReport(reference, DeliveryState.OPEN, f"other ({self.redact(kind)})")

    def _ask(self, method: str, fields: Mapping[str, str]) -> Exchange[Sequence[Mapping[str, Any]]]:
        return self._parts((yield from self._called(method, fields)))

    def _called(self, method: str, fields: Mapping[str, str]) -> Exchange[Any]:
        url = f"{self.base_url}/rest/{method}"
        if self.auth == "form":
            response = yield HttpRequest.post_form(url, {"Token": self.token, **fields})
        else:
            response = yield HttpRequest.post_form(url, fields, {"Authorization": self.token})
        if not response.ok:
            raise trouble_of_status(response)
        return response.json()

    def _parts(self, document: Any, troubles: Mapping[str, FailureKind] = _TROUBLES) -> Sequence[Mapping[str, Any]]:
        """Return the response and the contents of its `Data`. Raises unless every Status in it is a
        success.
        """
        if not isinstance(document, dict):
            raise UnclearError("amoot: the response is not a JSON object")
        # The docs show `Data` as one object and as an array of objects; one public client reads the
        # top level.
        data = document.get("Data")
        items = [item for item in (data if isinstance(data, list) else [data]) if isinstance(item, dict)]
        parts = [document, *items]
        statuses = [part["Status"] for part in parts if part.get("Status") is not None]
        names = [self._name(status) for status in statuses]
        for name in names:
            if name is not None and name not in _SUCCESS.values():
                raise ProviderError(troubles.get(name, FailureKind.UNKNOWN), name)
        if not names or None in names:
            raise UnclearError("amoot: the response has no readable Status")
        return parts

    def _name(self, status: object) -> str | None:
        """Return the name of a status given by name or number; None if it is neither."""
        if isinstance(status, str) and _NUMBER.fullmatch(status):
            status = int(status)
        if type(status) is int:  # True is not a status
            # A code has four digits or more, so a smaller number is safe to show.
            return _NAMES.get(status, f"unknown status {status if abs(status) < 1000 else ''}".strip())
        if not isinstance(status, str) or not status:
            return None
        return status if status in _NAMES.values() else f"unknown status {self.redact(status)}"


def _unquoted(value: str | None) -> str:
    quoted = _QUOTED.fullmatch(value or "")
    return quoted[1] if quoted else value or ""


DRIVER = Amoot
