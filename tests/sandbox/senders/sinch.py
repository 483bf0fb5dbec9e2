"""Sinch Verification."""

import json
from base64 import b64encode

from tests.sandbox.caller import JSON, ApiResponse, Caller, Sender

BASIC = {"Authorization": "Basic " + b64encode(b"KEY:c2VjcmV0").decode()}


def sinch(caller: Caller, phone: str) -> ApiResponse:
    body = {"identity": {"type": "number", "endpoint": phone}, "method": "sms"}
    return caller.ask("POST", "/verification/v1/verifications", json.dumps(body), JSON | BASIC)


ERRORS = frozenset(
    {
        "bad_parameter", "wrong_code", "bad_header", "bad_timestamp", "bad_signature", "no_credentials",
        "wrong_credentials", "no_credit", "blacklisted", "restricted", "not_found", "reference_used", "not_enabled",
        "no_route", "capacity", "too_soon", "internal", "unavailable", "overloaded",
    }
)  # fmt: skip
SENDERS = {"sinch": Sender(sinch, ("+15005550006", "+15005550007"), ERRORS)}
