"""Every text that a visitor reads, in English here; `locale/` has it in the other languages.

The English text is the key (gettext's msgid), so changing one here means changing it in every `.po`.
"""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from ..model import Cause, Channel, Outcome, Reason
from ..phone import PhoneNumber
from .languages import ENGLISH, Language, named

log = logging.getLogger("phone_verify")

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

#: What stands on the pages, whatever framework renders them. A number, code or time follows where a text is open.
PAGE = {
    "login_title": "Sign in",
    "login_lead": "Type your mobile number. We make sure that it is yours.",
    "phone": "Mobile number",
    "phone_help": "With the country code, like",
    "phone_example": "For example",
    "phone_abroad": "A number of another country begins with + and its country code.",
    "invalid_phone": "This is not a phone number we can use. Write it with its country code.",
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
    "cannot_send": "We can't send a code right now. Try again in a few minutes or choose another method.",
    "unavailable": "We cannot answer now. Nothing was sent. Try again in a moment.",
    "try_again": "Try again",
    "login_refused": "This number cannot sign in here.",
    "mfa_required": "Signing in needs one more step. Continue on the sign-in page of the site.",
    "signup_title": "Create your account",
    "signup": "Create account",
    "signup_first": "This number is new here. Create your account on the page for signing up.",
    "remember": "Stay signed in on this device",
    "verify_title": "Your mobile number",
    "own_number": "We check that this number is still yours:",
    "check_number": "Check this number",
    "change_number": "Change the number",
    "change_lead": "The new number takes the place of the old one once you have confirmed it.",
    "new_number": "New mobile number",
    "number_confirmed": "Your number is confirmed.",
    "phone_taken": "Somebody else has this number.",
    "phone_refused": "This proof cannot give you the number. Ask the site for help.",
    "sign_in_again": "For your security, sign in again to change your number.",
    "sign_in_first": "For your security, sign in again to continue.",
    "verify_first": "To change your number, verify your current number first.",
    "change_title": "Change your number?",
    "change_question": "Do you want to use this number for your account?",
    "change_confirm": "Yes, use this number",
    "sign_in_again_button": "Sign in again",
    "sign_out_others": "Sign out everywhere else",
    "signed_out_others": "You are now signed out on all other devices.",
    "checks_not_set_up": "Checking numbers is not set up on this site yet.",
    "logout_title": "Sign out",
    "logout_lead": "Do you want to sign out?",
    "logout": "Sign out",
    "refused_title": "This form was not sent",
    "form_too_large": "The form is too large. Go back, shorten what you entered, and send it again.",
    "form_has_files": "This page does not accept files. Go back and send the form without them.",
}


class Texts:
    """All texts in one language."""

    def __init__(self, language: Language, catalogue: NullTranslations) -> None:
        self.language = language
        self._gettext, self._ngettext = catalogue.gettext, catalogue.ngettext
        self.page: Mapping[str, str] = {key: catalogue.gettext(text) for key, text in PAGE.items()}
        self.reasons: Mapping[Reason, str] = {reason: catalogue.gettext(text) for reason, text in REASONS.items()}
        self.channels: Mapping[Channel, str] = {channel: catalogue.gettext(text) for channel, text in CHANNELS.items()}

    def translated(self, text: str) -> str:
        """One of our texts in this language; a text that is none of ours as it is."""
        return self._gettext(text) if text else text

    def attempts_left(self, count: int) -> str:
        """How many tries are left, in words."""
        if count == 0:
            return self._gettext("No tries are left.")
        return self._counted(self._ngettext("One try is left.", "{count} tries are left.", count), count)

    def duration(self, span: timedelta) -> str:
        """A span of time in words, rounded up to what a person cares about."""
        seconds = max(1, math.ceil(span.total_seconds()))
        if seconds < 90:
            return self._counted(self._ngettext("{count} second", "{count} seconds", seconds), seconds)
        minutes = math.ceil(seconds / 60)
        return self._counted(self._ngettext("{count} minute", "{count} minutes", minutes), minutes)

    def wait(self, span: timedelta) -> str:
        """When to try again."""
        return self._gettext("Try again in {duration}.").format(duration=self.duration(span))

    def refusal(self, outcome: Outcome) -> str:
        """Why not, with the tries that are left or when to try again; empty for what is not refused."""
        if outcome.reason is None:
            return ""
        told, record = [self.translated(reason_text(outcome))], outcome.verification
        if outcome.reason is Reason.WRONG_CODE and record is not None:
            told.append(self.attempts_left(record.attempts_left))
        if outcome.retry_after is not None:
            told.append(self.wait(outcome.retry_after))
        return " ".join(told)

    def message(self, code: str, life: timedelta, site_name: str) -> str:
        """The message that carries a code, without the line that is for machines."""
        minutes = max(1, int(life.total_seconds() // 60))
        # Right-to-left languages write the code on a line of its own: next to a name in Latin letters it would be
        # shown as part of that name, and invisible marks around it keep phones from finding it.
        if site_name:
            text = self._ngettext(
                "Your {site} code is {code}. It is good for {count} min. Do not tell it to anybody.",
                "Your {site} code is {code}. It is good for {count} min. Do not tell it to anybody.",
                minutes,
            )
        else:
            text = self._ngettext(
                "Your code is {code}. It is good for {count} min. Do not tell it to anybody.",
                "Your code is {code}. It is good for {count} min. Do not tell it to anybody.",
                minutes,
            )
        return text.format(site=site_name, code=code, count=self.language.number(minutes))

    def number_changed(self, site_name: str) -> str:
        """The SMS to the old number after a change."""
        if not site_name:
            return self._gettext(
                "The phone number of your account was changed. If you didn't do this, contact the site's support."
            )
        text = self._gettext(
            "The phone number of your {site} account was changed. If you didn't do this, contact {site}."
        )
        return text.format(site=site_name)

    def _counted(self, text: str, count: int) -> str:
        return text.format(count=self.language.number(count))


@cache
def texts_in(language: Language) -> Texts:
    """The texts in a language, read when they are first asked for."""
    return Texts(language, NullTranslations() if language == ENGLISH else _catalogue(language))


def message_writer(site_name: str, host: str | None) -> Callable[[Channel, str, timedelta, str | None], str]:
    """The function that writes the message carrying a code, in the language of a locale, or in English.

    An SMS ends in the origin-bound line `@host #code`, exactly (WICG, "Origin-bound one-time codes"), where the
    site's public host is known: phones fill the code in on that site only.
    """

    def write(channel: Channel, code: str, life: timedelta, locale: str | None) -> str:
        text = texts_in(named(locale or "") or ENGLISH).message(code, life, site_name)
        return f"{text}\n\n@{host} #{code}" if channel is Channel.SMS and host else text

    return write


def spoken(line: PhoneNumber) -> str:
    """The number to call, grouped as it is read out."""
    import phonenumbers

    parsed = phonenumbers.parse(line.e164)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


@cache
def example_number(region: str) -> str | None:
    """A mobile number as people of a region write it (`0912 345 6789`), or None where no such is known."""
    import phonenumbers

    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        return None
    return phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)


def _catalogue(language: Language) -> NullTranslations:
    """The catalogue that the build has made of the language's `.po`; an empty one, and a warning, where there is none.

    Not an error: a site whose texts are English is better than no site.
    """
    try:
        place = files(__package__).joinpath("locale", language.tag, "LC_MESSAGES", "phone_verify.mo")
        with place.open("rb") as file:
            return GNUTranslations(file)
    except (OSError, ValueError, struct.error):
        log.warning("the texts in %r are missing and will be English: install phone-verify again", language.tag)
        return NullTranslations()


def reason_text(outcome: Outcome) -> str:
    """Return why an outcome was refused, in English; the number is named only where the provider refused it."""
    if outcome.reason is None:
        raise ValueError("this outcome is a success")
    if outcome.reason is Reason.DELIVERY_FAILED and outcome.cause is not Cause.NUMBER:
        return PAGE["cannot_send"]
    return REASONS[outcome.reason]
