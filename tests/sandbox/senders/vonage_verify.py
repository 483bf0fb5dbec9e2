"""A request to Vonage Verify, for the tests of faults."""

import json
from base64 import b64encode

from tests.sandbox.caller import JSON, ApiResponse, Caller, Sender

_BASIC = {"Authorization": f"Basic {b64encode(b'KEY:S').decode()}"}


def _send(caller: Caller, phone: str) -> ApiResponse:
    # A number with a request in progress gets no further message.
    caller.server.sandbox.network.codes.remove(phone)
    body = {"brand": "Example", "workflow": [{"channel": "sms", "to": phone[1:]}]}
    return caller.ask("POST", "/v2/verify", json.dumps(body), JSON | _BASIC)


SENDERS = {
    "vonage-verify": Sender(
        _send,
        ("+447700900000", "+447700900001"),
        frozenset(
            {
                "bad_request",
                "invalid_code",
                "unauthorized",
                "no_credit",
                "forbidden",
                "not_found",
                "conflict",
                "wrong_state",
                "no_next_step",
                "too_many_codes",
                "invalid_params",
                "invalid_number",
                "rate_limit",
                "internal_error",
                "unavailable",
            }
        ),
    ),
}
