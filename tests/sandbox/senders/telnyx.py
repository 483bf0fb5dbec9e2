"""Telnyx Verify."""

import json

from tests.sandbox.caller import JSON, ApiResponse, Caller, Sender


def telnyx(caller: Caller, phone: str) -> ApiResponse:
    body = {"phone_number": phone, "verify_profile_id": "12ade33a-0000-473b-b055-b3c836e1c292"}
    headers = JSON | {"Authorization": "Bearer KEY"}
    return caller.ask("POST", "/v2/verifications/sms", json.dumps(body), headers)


ERRORS = frozenset(
    {
        "invalid_number", "missing_parameter", "not_found", "unexpected", "timeout", "unauthenticated", "unauthorized",
        "too_many", "bad_request", "not_e164", "no_credit",
    }
)  # fmt: skip
SENDERS = {"telnyx": Sender(telnyx, ("+15005550006", "+15005550007"), ERRORS)}
