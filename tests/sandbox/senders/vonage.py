"""A request to Vonage's SMS API, for the tests of faults."""

from urllib.parse import urlencode

from tests.sandbox.caller import FORM, ApiResponse, Caller, Sender


def _send(caller: Caller, phone: str) -> ApiResponse:
    fields = {"api_key": "KEY", "api_secret": "S", "from": "Example", "to": phone[1:], "text": "Your code is 048213"}
    return caller.ask("POST", "/sms/json", urlencode(fields), FORM)


SENDERS = {
    "vonage": Sender(
        _send,
        ("+447700900000", "+447700900001"),
        frozenset(
            {
                "throttled",
                "missing_parameter",
                "invalid_parameter",
                "invalid_credentials",
                "internal_error",
                "invalid_message",
                "number_barred",
                "account_barred",
                "quota_exceeded",
                "too_many_binds",
                "http_not_enabled",
                "message_too_long",
                "invalid_signature",
                "invalid_sender",
                "invalid_network",
                "invalid_callback",
                "not_whitelisted",
                "signature_and_secret",
                "number_deactivated",
            }
        ),
    ),
}
