"""Telegram Gateway's send, and its errors; besides the sheet's, `SOMETHING_NEW` represents the unlisted ones."""

import json

from tests.sandbox.caller import JSON, ApiResponse, Caller, Sender


def _send(caller: Caller, phone: str) -> ApiResponse:
    body = json.dumps({"phone_number": phone, "code": "048213"})
    return caller.ask("POST", "/sendVerificationMessage", body, {**JSON, "Authorization": "Bearer TOKEN"})


SENDERS = {
    "telegram-gateway": Sender(
        _send,
        ("+79990000001", "+79990000002"),
        frozenset(
            {
                "ACCESS_TOKEN_INVALID",
                "PHONE_NUMBER_NOT_AVAILABLE",
                "PHONE_NUMBER_INVALID",
                "PHONE_NUMBER_UNOCCUPIED",
                "FLOOD_WAIT_30",
                "BALANCE_NOT_ENOUGH",
                "REQUEST_ID_INVALID",
                "CODE_INVALID",
                "CODE_LENGTH_INVALID",
                "SENDER_USERNAME_INVALID",
                "CALLBACK_URL_INVALID",
                "PAYLOAD_INVALID",
                "TTL_INVALID",
                "BAD_REQUEST",
                "SOMETHING_NEW",
                "INTERNAL_ERROR",
            }
        ),
    )
}
