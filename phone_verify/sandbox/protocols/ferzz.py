"""FlashCall (Ferzz): the phone rings briefly, and the last digits of the calling number are the
code.

The provider generates the code and returns it in its response. Every call comes from a different
number than the previous one.
"""

from datetime import timedelta
from typing import Final

from phone_verify.sandbox.numbers import IRAN
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

_NATIONAL_LENGTH = 11
_HEAD = "0990000000"

#: A service's codes are valid for this long; until then its report leaves the outcome open.
_VALIDITY = timedelta(minutes=2)

_SUCCESS = "درخواست با موفقیت انجام شد"

#: HTTP status and `message` of each error. Only the text of `server_error` is published.
_ERRORS: Final = {
    "bad_request": (400, "شماره مقصد یا یکی از فیلدها معتبر نیست"),
    "wrong_key": (401, "کلید دسترسی نامعتبر است"),
    "expired_key": (403, "کلید دسترسی منقضی شده است"),
    "inactive_key": (403, "کلید دسترسی غیرفعال است"),
    "no_credit": (402, "اعتبار سرویس کافی نیست"),
    "too_many": (429, "تعداد درخواست بیش از حد مجاز است"),
    "server_error": (500, "درخواست دچار خطا شد"),
    "error_with_200": (200, "درخواست دچار خطا شد"),
}


def call(visit: Visit) -> Answer:
    """Ring the destination from a new number."""
    body = visit.json_object()
    return _ring(visit, body)


def retry(visit: Visit) -> Answer:
    """Ring again for an earlier `tracking_code`, from another number."""
    body = visit.json_object()
    tracking_code = body.get("tracking_code")
    tracked = [_tracking_code(dispatch.id) for dispatch in visit.network.dispatches(PROVIDER.name)]
    if tracking_code not in tracked:
        raise RefusedError("bad_request")
    return _ring(visit, body)


def _ring(visit: Visit, body: dict[str, object]) -> Answer:
    destination = body.get("destination")
    phone = IRAN.to_e164(destination) if isinstance(destination, str) else None
    visit.admit(body.get("token"))
    if phone is None:
        raise RefusedError("bad_request")
    visit.meet(phone)
    code = _new_code(visit, phone)
    head = _HEAD[: _NATIONAL_LENGTH - len(code)]
    dispatch = visit.place_call(phone, number=f"+98{head[1:]}{code}", code=code, settles_after=_VALIDITY)
    heads = {"national": head, "international": f"+98{head[1:]}", "bare": head[1:]}
    return Answer(
        {
            "message": "done" if visit.variant("message") == "done" else _SUCCESS,
            "code": "" if visit.variant("code") == "empty" else code,
            "tracking_code": _tracking_code(dispatch.id),
            "head_number": heads[visit.variant("head")],
        }
    )


def _new_code(visit: Visit, phone: str) -> str:
    """Draw a code, and so a calling number, that differs from this phone's previous one."""
    earlier = (item.code for item in visit.network.dispatches(PROVIDER.name) if item.phone == phone)
    previous = next(earlier, None)
    while True:
        code = visit.draw_digits(int(visit.variant("length")))
        if code != previous:
            return code


def _tracking_code(dispatch_id: int) -> str:
    return f"TRK-{dispatch_id:010}"


def _refuse(visit: Visit, name: str) -> Answer:
    status, message = _ERRORS[name]
    return Answer({"message": message, "code": "", "tracking_code": "", "head_number": ""}, status)


PROVIDER: Final = Provider(
    name="ferzz",
    title="FlashCall (Ferzz)",
    routes=(
        Route("POST", "/services/call/call/", call, exact_slash=True),
        Route("POST", "/services/call/retry/", retry, exact_slash=True),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="bad_request",
    credentials={
        MISSING: "bad_request",
        WRONG: "wrong_key",
        EXPIRED: "expired_key",
        INACTIVE: "inactive_key",
        NO_CREDIT: "no_credit",
    },
    secrets=frozenset({"token"}),
    variants={
        "digits": ("random", "leading_zero"),
        "length": ("4", "3", "5", "6", "7", "8"),
        "code": ("filled", "empty"),
        "head": ("national", "international", "bare"),
        "message": ("persian", "done"),
    },
)
