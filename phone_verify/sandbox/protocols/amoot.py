"""Amoot SMS: a text with a code, which either side generates.

HTTP is always 200; `Status` decides. Parameter names are case-insensitive, the token comes in the
`Authorization` header or as a parameter, and everything may be in the query, a form or JSON.
Deliveries are reported by GET to the URL in the panel (`PUT /api/webhooks`), each value in double
quotes.
"""

from datetime import timedelta, timezone
from typing import Final

from phone_verify.sandbox.numbers import IRAN
from phone_verify.sandbox.phones import Dispatch
from phone_verify.sandbox.protocols.base import (
    EXPIRED,
    INACTIVE,
    MISSING,
    NO_CREDIT,
    WRONG,
    Answer,
    Provider,
    RefusedError,
    Route,
    Visit,
)
from phone_verify.sandbox.webhooks import Hook

_FIRST_MESSAGE_ID = 600_000_000
_SHORTEST_CODE, _LONGEST_CODE = 4, 8
#: No table of the types is published; all three were seen in replies.
_DELIVERED, _UNDELIVERED, _UNDERWAY = 1, 2, 35

#: The provider's clock: its times carry no zone.
_IRAN_TIME: Final = timezone(timedelta(hours=3, minutes=30))

#: The provider's own table of statuses.
_STATUS_NUMBERS: Final = {
    "Failed": 0,
    "Success": 1,
    "AccountIsDemo": 2,
    "CreditNotEnough": 4,
    "LineNumber_NotExist": 5,
    "BackupLineNumber_NotExist": 6,
    "Avanak_NotAvailable": 7,
    "UserName_Empty": 10,
    "Password_Empty": 11,
    "LineNumber_Empty": 12,
    "BackupLineNumber_Empty": 13,
    "SMSMessageText_Empty": 14,
    "AvanakMessageText_Empty": 15,
    "Mobile_Empty": 16,
    "Mobiles_Empty": 17,
    "Title_Empty": 18,
    "FirstNameOrLastName_Empty": 19,
    "URLAddress_Empty": 20,
    "UserNameOrPassword_Invalid": 100,
    "Mobile_Invalid": 101,
    "Mobiles_Invalid": 102,
    "Count_Invalid": 103,
    "FromRow_Invalid": 104,
    "FromDate_Invalid": 105,
    "FromDateTime_Invalid": 106,
    "ToDate_Invalid": 107,
    "ToDateTime_Invalid": 108,
    "FromDateIsAfterThanToDate": 109,
    "FromDateTimeIsAfterThanToDateTime": 110,
    "MessageID_Invalid": 111,
    "BulkID_Invalid": 112,
    "ContactID_Invalid": 113,
    "ContactGroupID_Invalid": 114,
    "CourseID_Invalid": 115,
    "CourseGroupID_Invalid": 116,
    "URLAddress_Duplicate": 117,
    "RelayMessageDeliveryID_Invalid": 118,
    "RelayRecieveMessageID_Invalid": 119,
    "Length_Invalid": 120,
    "Length_Exceeded": 121,
    "ServerError": 500,
    "User_NotExists": -1,
    "User_MobileNotVerified": -102,
    "User_Disabled": -103,
    "User_Expired": -104,
    "User_WebServiceBanned": -105,
    "User_NotAllowWebService": -106,
    "User_NotAllowIP": -107,
    "User_NotAllowMethod": -108,
    "User_NotAllowHttp": -109,
    "Token_NotExists": -201,
    "Token_Invalid": -202,
    "Token_Disabled": -203,
    "Token_Expired": -204,
    "Token_NotAllowIP": -207,
    "Token_NotAllowMethod": -208,
    "System_Disabled": -300,
}

#: Names that the service returns although its table lacks them; they have no number.
_UNLISTED_STATUSES: Final = ("DailyLimit_Exceeded", "FilterMessage_Reject", "Insufficient_Credit", "Line_Not_Active")

_EMPTY_ACCOUNT: Final[dict[str, object]] = {
    "AccountName": None,
    "RemaindCredit": 0,
    "BaseSMS_PersianPrice": 0,
    "BaseSMS_EnglishPrice": 0,
    "ServiceSMS_PersianPrice": 0,
    "ServiceSMS_EnglishPrice": 0,
    "AdsSMS_PersianPrice": 0,
    "AdsSMS_EnglishPrice": 0,
    "Avanak_SecondPrice": 0,
    "ListLineNumbers": [],
}
_ACCOUNT: Final[dict[str, object]] = {
    "AccountName": "Sandbox",
    "RemaindCredit": 25000,
    "BaseSMS_PersianPrice": 1000,
    "BaseSMS_EnglishPrice": 5000,
    "ServiceSMS_PersianPrice": 2050,
    "ServiceSMS_EnglishPrice": 6670,
    "AdsSMS_PersianPrice": 3870,
    "AdsSMS_EnglishPrice": 11560,
    "Avanak_SecondPrice": 23,
    "ListLineNumbers": ["98", "Public", "Service"],
}


def send_quick_otp(visit: Visit) -> Answer:
    """Send a text with a code, supplied by the client or generated here."""
    fields = _admitted(visit)
    written = fields.get("mobile")
    if written in (None, ""):
        raise RefusedError("Mobile_Empty")
    phone = IRAN.to_e164(written)
    if phone is None:
        raise RefusedError("Mobile_Invalid")
    visit.meet(phone)
    length = _code_length(fields.get("codelength"))
    if visit.variant("templates") != "otp":
        raise RefusedError("Failed")
    code = _own_code(fields.get("optionalcode"), length)
    if code is None or visit.variant("code") == "replaced":
        code = visit.draw_digits(length)
    dispatch = visit.send_message(phone, channel="sms", sender="Amoot", text=f"Your code is {code}", code=code)
    if (url := visit.network.webhooks().get(PROVIDER.name)) is not None:
        visit.report(_report(url, _delivery(dispatch), visit.variant("webhook")))
    result: dict[str, object] = {
        "Status": _status(visit, "Success"),
        "MessageID": _FIRST_MESSAGE_ID + dispatch.id,
        "Mobile": int(IRAN.bare(phone)),
        "Code": int(code) if visit.variant("code") == "number" and code.isdecimal() else code,
    }
    nesting = visit.variant("data")
    if nesting == "top":
        return Answer(result)
    return Answer({"Status": result["Status"], "Data": [result] if nesting == "list" else result})


def account_status(visit: Visit) -> Answer:
    """Return the credit and the prices of the account."""
    _admitted(visit)
    visit.meet(None)
    return Answer({"Status": _status(visit, "Success"), **_ACCOUNT})


def get_delivery(visit: Visit) -> Answer:
    """Return whether one message has arrived."""
    fields = _admitted(visit)
    number = _whole(fields.get("messageid"))
    dispatch = visit.network.dispatch(number - _FIRST_MESSAGE_ID) if number is not None else None
    visit.meet(dispatch.phone if dispatch else None)
    if dispatch is None or dispatch.provider != PROVIDER.name:
        raise RefusedError("Failed")
    data = _delivery(dispatch)
    if visit.variant("delivery") == "underway":
        data["DeliveryType"] = _UNDERWAY
    return Answer({"Status": _status(visit, "Success"), "Data": data})


def pattern_code_list(visit: Visit) -> Answer:
    """Return the account's templates."""
    _admitted(visit)
    visit.meet(None)
    template = {
        "ID": 1,
        "Status": 3,
        "IsOTP": visit.variant("templates") == "otp",
        "MessageText": "Your code is %code%",
        "Patterns": ["code"],
        "NumberPatterns": [],
    }
    templates = [] if visit.variant("templates") == "none" else [template]
    return Answer({"Status": _status(visit, "Success"), "Data": templates})


def _delivery(dispatch: Dispatch) -> dict[str, object]:
    moment = dispatch.at.astimezone(_IRAN_TIME).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {
        "MessageID": _FIRST_MESSAGE_ID + dispatch.id,
        "DeliveryType": _DELIVERED if dispatch.arrived else _UNDELIVERED,
        "Cost": 0,
        "RegDateTime": moment,
        "SendDateTime": moment,
    }


def _report(url: str, delivery: dict[str, object], form: str) -> Hook:
    if form == "word" and delivery["DeliveryType"] == _DELIVERED:
        delivery = {**delivery, "DeliveryType": "Delivered"}
    fields = {name: str(value) if form == "bare" else f'"{value}"' for name, value in delivery.items()}
    return Hook.with_query(url, fields)


def _admitted(visit: Visit) -> dict[str, object]:
    """Read the parameters under lower-case names, and reject an invalid token."""
    fields = {name.lower(): value for name, value in visit.fields().items()}
    visit.admit(visit.request.headers.get("Authorization") or fields.get("token"))
    return fields


def _code_length(value: object) -> int:
    length = _whole(value)
    if length is None or length < _SHORTEST_CODE:
        raise RefusedError("Length_Invalid")
    if length > _LONGEST_CODE:
        raise RefusedError("Length_Exceeded")
    return length


def _own_code(value: object, length: int) -> str | None:
    """Return the client's code. One that disagrees with `CodeLength` is rejected, to expose the
    mistake.
    """
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isalnum():
        raise RefusedError("Failed")
    if len(value) != length:
        raise RefusedError("Length_Invalid")
    return value


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _status(visit: Visit, name: str) -> str | int:
    return _STATUS_NUMBERS.get(name, name) if visit.variant("status") == "number" else name


def _refuse(visit: Visit, name: str) -> Answer:
    status = _status(visit, name)
    if visit.request.path.rstrip("/").endswith("AccountStatus"):
        return Answer({"Status": status, **_EMPTY_ACCOUNT})
    return Answer({"Status": status, "Data": [] if visit.variant("data") == "list" else None})


PROVIDER: Final = Provider(
    name="amoot",
    title="Amoot SMS",
    routes=(
        Route("POST", "/rest/SendQuickOTP", send_quick_otp),
        Route("GET", "/rest/SendQuickOTP", send_quick_otp),
        Route("POST", "/rest/AccountStatus", account_status),
        Route("GET", "/rest/AccountStatus", account_status),
        Route("POST", "/rest/PatternCodeList", pattern_code_list),
        Route("GET", "/rest/PatternCodeList", pattern_code_list),
        Route("POST", "/rest/GetDelivery", get_delivery),
        Route("GET", "/rest/GetDelivery", get_delivery),
    ),
    refusals=(*(name for name in _STATUS_NUMBERS if name != "Success"), *_UNLISTED_STATUSES),
    refuse=_refuse,
    unreadable="Failed",
    credentials={
        MISSING: "Token_NotExists",
        WRONG: "Token_Invalid",
        EXPIRED: "Token_Expired",
        INACTIVE: "Token_Disabled",
        NO_CREDIT: "CreditNotEnough",
    },
    secrets=frozenset({"token"}),
    variants={
        "status": ("name", "number"),
        "data": ("object", "list", "top"),
        "code": ("string", "number", "replaced"),
        "templates": ("otp", "no_otp", "none"),
        "digits": ("random", "leading_zero"),
        "delivery": ("final", "underway"),
        "webhook": ("quoted", "bare", "word"),
    },
    webhook_in_cabinet=True,
)
