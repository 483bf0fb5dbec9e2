"""Twilio's two protocols."""

from base64 import b64encode
from urllib.parse import urlencode

from tests.sandbox.caller import FORM, ApiResponse, Caller, Sender

HEADERS = {**FORM, "Authorization": f"Basic {b64encode(b'AC1:TOKEN').decode()}"}
PHONES = ("+14155550100", "+14155550101")


def message(caller: Caller, phone: str) -> ApiResponse:
    form = {"To": phone, "From": "+15005550001", "Body": "Your code is 482193"}
    return caller.ask("POST", "/2010-04-01/Accounts/AC1/Messages.json", urlencode(form), HEADERS)


def verification(caller: Caller, phone: str) -> ApiResponse:
    form = {"To": phone, "Channel": "call"}
    return caller.ask("POST", "/v2/Services/VA1/Verifications", urlencode(form), HEADERS)


MESSAGE_ERRORS = {
    "20003", "20404", "20422", "20429", "20500", "21211", "21408", "21602", "21603", "21604", "21606", "21609", "21610",
    "21614", "21617", "21659", "30001", "30002", "30003", "30005", "30006", "30007", "30008", "63016",
}  # fmt: skip
VERIFY_ERRORS = {
    "60200", "60201", "60202", "60203", "60204", "60205", "60207", "60212", "60217", "60238", "60252", "60410", "60413",
    "60605", "20003", "20404", "20429", "20500", "503",
}  # fmt: skip
SENDERS = {
    "twilio": Sender(message, PHONES, frozenset(MESSAGE_ERRORS)),
    "twilio-verify": Sender(verification, PHONES, frozenset(VERIFY_ERRORS)),
}
