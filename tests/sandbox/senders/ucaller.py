"""uCaller's flash call, and the errors of its table."""

import json

from tests.sandbox.caller import JSON, ApiResponse, Caller, Sender

ERRORS = "0 1 2 3 4 5 9 10 11 12 13 18 19 20 401 405 429 500 1001 1002 1003 1004 1005"


def _call(caller: Caller, phone: str) -> ApiResponse:
    body = json.dumps({"phone": phone[1:], "code": "0482"})
    return caller.ask("POST", "/v1.0/initCall", body, {**JSON, "Authorization": "Bearer SECRET.1"})


SENDERS = {"ucaller": Sender(_call, ("+79990000001", "+79990000002"), frozenset(ERRORS.split()))}
