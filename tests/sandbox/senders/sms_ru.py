"""SMS.ru's flash call, and the errors of its table."""

from urllib.parse import urlencode

from tests.sandbox.caller import FORM, ApiResponse, Caller, Sender

ERRORS = (
    "104 105 106 107 108 150 200 201 202 203 204 205 206 207 208 209 210 211 212 213 220 230 231 232 233 300 301 302 "
    "303 304 305 500 901 902 -1"
)


def _call(caller: Caller, phone: str) -> ApiResponse:
    return caller.ask("POST", "/code/call", urlencode({"api_id": "KEY", "phone": phone[1:], "ip": "-1"}), FORM)


SENDERS = {"sms-ru": Sender(_call, ("+79990000001", "+79990000002"), frozenset(ERRORS.split()))}
