"""Every text that a visitor reads and that is not in a template."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

from ..model import Channel, Reason
from ..phone import PhoneNumber

#: What a visitor is told for each reason.
REASONS = {
    Reason.DESTINATION_NOT_ALLOWED: "We cannot send to this number. Use a mobile number of a country we serve.",
    Reason.NOT_CONFIGURED: "Signing in by phone is not set up on this site yet.",
    Reason.CHANNEL_UNAVAILABLE: "This way is not available for this number now. Choose another one.",
    Reason.TOO_MANY_REQUESTS: "Too many tries. Wait a while and try again.",
    Reason.DELIVERY_FAILED: "We could not reach this number. Check it, or choose another way.",
    Reason.NOT_FOUND: "There is no such verification. Start again.",
    Reason.CLOSED: "This verification is over. Start again.",
    Reason.MALFORMED_CODE: "Type the digits of the code, all of them and nothing else.",
    Reason.WRONG_CODE: "That code is not right.",
    Reason.INVALID_PROOF: "This proof is not good, or not any more. Verify the number again.",
    Reason.PROVIDER_UNAVAILABLE: "The code cannot be checked now. Try again in a moment.",
}

#: The ways, as a visitor chooses among them.
CHANNELS = {
    Channel.SMS: "Text me a code",
    Channel.FLASH_CALL: "Ring me (the code is the end of the calling number)",
    Channel.INBOUND_CALL: "I call a number (free, nobody answers)",
    Channel.VOICE: "Call me and read the code out",
    Channel.TELEGRAM: "Send a code by Telegram",
    Channel.WHATSAPP: "Send a code by WhatsApp",
}


def message_writer(site_name: str, host: str | None) -> Callable[[Channel, str, timedelta, str | None], str]:
    """The function that writes the message carrying a code.

    An SMS ends in the origin-bound line `@host #code`, exactly (WICG, "Origin-bound one-time codes"), where the
    site's public host is known: phones fill the code in on that site only.
    """

    def write(channel: Channel, code: str, life: timedelta, locale: str | None) -> str:
        minutes = max(1, int(life.total_seconds() // 60))
        whose = f"Your {site_name} code is" if site_name else "Your code is"
        text = f"{whose} {code}. It is good for {minutes} min. Do not tell it to anybody."
        return f"{text}\n\n@{host} #{code}" if channel is Channel.SMS and host else text

    return write


#: What stands on the pages, whatever framework renders them.
PAGE = {
    "login_title": "Sign in",
    "login_lead": "Type your mobile number. We make sure that it is yours.",
    "phone": "Mobile number",
    "phone_help": "With the country code, like +98 912 000 0000.",
    "way": "How should we check it?",
    "continue": "Continue",
    "code_title": "Confirm your number",
    "lead_code": "We sent a code to",
    "lead_held": "Call the number below first. Then the code comes to",
    "lead_flash_call": "We are ringing this number for a moment. Do not answer:",
    "lead_inbound_call": "Call the number below from",
    "lead_proven": "This number is confirmed:",
    "code": "Code",
    "last_digits": "Last digits",
    "caller": "The call comes from a number like this. Type its last digits:",
    "caller_unknown": "Type the last digits of the number that rang.",
    "confirm": "Confirm",
    "dial_number": "The number to call",
    "dial_help": "The call is not answered: you will hear the busy tone, or it ends by itself. It costs you nothing.",
    "dial_scan": "At a computer? Point your phone's camera here.",
    "dial_qr": "QR code of the number to call",
    "dial_wait": "Waiting for your call…",
    "called": "I have called",
    "no_call_yet": "Your call has not reached us yet. Give it a few seconds.",
    "resend_code": "Send again",
    "resend_flash_call": "Ring again",
    "resend_inbound_call": "Show another number",
    "resend_in": "You can ask again in",
    "other_ways": "Other ways",
    "sent_again_code": "Sent again.",
    "sent_again_flash_call": "We are ringing again.",
    "sent_again_inbound_call": "Here is another number to call.",
    "expires": "Time left:",
    "other_number": "Use another number",
    "start_again": "Start again",
    "over": "This verification is over.",
    "exhausted": "Too many wrong codes. This verification is over.",
    "wait": "Try again in",
    "unavailable": "We cannot answer now. Nothing was sent. Try again in a moment.",
    "try_again": "Try again",
    "login_refused": "This number cannot sign in here.",
    "logout_title": "Sign out",
    "logout_lead": "Do you want to sign out?",
    "logout": "Sign out",
}


def attempts_left(count: int) -> str:
    """How many tries are left, in words."""
    if count == 0:
        return "No tries are left."
    return "One try is left." if count == 1 else f"{count} tries are left."


def duration(span: timedelta) -> str:
    """A span of time in words, rounded up to what a person cares about."""
    seconds = max(1, math.ceil(span.total_seconds()))
    if seconds < 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"


def spoken(line: PhoneNumber) -> str:
    """The number to call, grouped as it is read out."""
    import phonenumbers

    parsed = phonenumbers.parse(line.e164)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
