"""All texts for visitors in English; `locale/` holds the translations.

The English text is the key (gettext's msgid): a text changed here is changed in every `.po` too.
"""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from ..errors import FieldFault
from ..model import Cause, Channel, CodeSource, Outcome, Reason, Status, Verification
from ..phone import PhoneNumber
from .languages import ENGLISH, Language

log = logging.getLogger("phone_verify")

#: Why a request was refused.
REASONS = {
    Reason.DESTINATION_NOT_ALLOWED: (
        "We can't send codes to this number. Use a mobile number from a supported country."
    ),
    Reason.NOT_CONFIGURED: "Phone sign-in isn't available on this site yet.",
    Reason.CHANNEL_UNAVAILABLE: "This method isn't available for this number right now. Try another one.",
    Reason.TOO_MANY_REQUESTS: "Too many attempts. Try again later.",
    Reason.DELIVERY_FAILED: "We couldn't send a code to this number. Check the number or try another method.",
    Reason.SEND_REFUSED: "We couldn't send a code. Check what you entered and try again.",
    Reason.HOOK_FAILED: "We can't send a code right now. Try again in a few minutes or choose another method.",
    Reason.SERVICE_SUSPENDED: "Something went wrong on our side. Please try again in a few minutes.",
    Reason.UNAVAILABLE: "Something went wrong on our side. Please try again in a few minutes.",
    Reason.NOT_FOUND: "We couldn't find this verification. Start over.",
    Reason.CLOSED: "This verification has ended. Start over.",
    Reason.MALFORMED_CODE: "Enter the full code, digits only.",
    Reason.WRONG_CODE: "Incorrect code.",
    Reason.INVALID_PROOF: "This verification is no longer valid. Verify your number again.",
    Reason.CHANNELS_LEFT: "One more step: this number must be verified by another method as well.",
    Reason.PROVIDER_UNAVAILABLE: "We can't check the code right now. Please try again.",
}

#: The channels, as a visitor chooses among them.
CHANNELS = {
    Channel.SMS: "Text message (SMS)",
    Channel.FLASH_CALL: "Missed call",
    Channel.INBOUND_CALL: "Call us",
    Channel.VOICE: "Phone call",
    Channel.TELEGRAM: "Telegram",
    Channel.WHATSAPP: "WhatsApp",
}

#: What happens on each channel, below its name.
CHANNEL_HELP = {
    Channel.SMS: "We'll text you a code.",
    Channel.FLASH_CALL: "We'll call you. The code is the caller's last digits.",
    Channel.INBOUND_CALL: "Free call; it hangs up by itself.",
    Channel.VOICE: "We'll call you and read out a code.",
    Channel.TELEGRAM: "We'll send you a code.",
    Channel.WHATSAPP: "We'll send you a code.",
}

#: After how many seconds a code or call usually arrives.
_USUAL_SECONDS = {
    Channel.SMS: 30,
    Channel.FLASH_CALL: 20,
    Channel.INBOUND_CALL: 10,
    Channel.VOICE: 30,
    Channel.TELEGRAM: 10,
    Channel.WHATSAPP: 10,
}

#: In place of the help above for a line that an announcement answers: whether it is free is known with the line.
ANNOUNCED_HELP = "Call our number and wait for the announcement."

#: The texts of the pages in every framework. A number, code or time follows a text without a final period.
PAGE = {
    "login_title": "Sign in",
    "login_lead": "Enter your mobile number and we'll send you a code.",
    "login_lead_call": "Enter your mobile number to confirm it's you.",
    "phone": "Mobile number",
    "phone_help": "Include the country code, for example",
    "phone_example": "For example",
    "phone_abroad": "For numbers from other countries, start with + and the country code.",
    "country": "Country",
    "countries_found": "Countries found: {count}",
    "no_country": "No country found",
    "invalid_phone": "That doesn't look like a valid mobile number. Check it and include the country code.",
    "start_with_plus": "Start with + and the country code, for example {example}",
    "recommended": "Recommended",
    "way": "How would you like to verify it?",
    "continue": "Continue",
    "welcome_back": "Welcome back.",
    "continue_as": "Continue as",
    "another_number": "Use another number",
    "forget_number": "Forget this number",
    "number_forgotten": "This device has forgotten the number.",
    "no_last_number": "Enter your number to continue.",
    "code_title": "Enter the code",
    "code_title_flash_call": "Check your phone",
    "code_title_inbound_call": "Call to verify",
    "verify_number": "Verify your number",
    "lead_code": "We sent a code to",
    "lead_held": "First call the number below. We'll then send the code to",
    "lead_flash_call": "We're calling {number} now. Don't answer.",
    "lead_voice": "We're calling {number} now. Answer to hear the code.",
    "lead_inbound_call": "Call the number below from",
    "lead_proven": "Number verified:",
    "more_title": "One more step",
    "lead_more": "Almost done. Use this method as well for",
    "code": "Code",
    "last_digits": "Last digits",
    "caller_unknown": "Enter the last digits of the number that called you.",
    "confirm": "Confirm",
    "dial_number": "The number to call",
    "dial_help": "You'll hear a busy tone or the call will end by itself. It's free.",
    "dial_help_announced": "The call is answered by an announcement. Wait for it.",
    "dial_help_announced_free": "The call is answered by an announcement. Wait for it. It's free.",
    "dial_scan": "Scan this code with your phone to call.",
    "dial_qr": "QR code of the number to call",
    "copy_number": "Copy number",
    "copied": "Copied",
    "dial_wait": "Waiting for your call…",
    "called": "I've called",
    "other_caller": "Another phone called. Call from",
    "or_call": "Or call this number from your phone:",
    "or_code": "Or enter the code:",
    "no_call_yet": "We haven't received your call yet. Wait a few seconds and try again.",
    "resend_code": "Resend code",
    "resend_flash_call": "Call me again",
    "resend_inbound_call": "Get a different number",
    "resend_in": "Resend code in",
    "resend_in_flash_call": "Call me again in",
    "resend_in_inbound_call": "Get a different number in",
    "other_ways": "Try another method",
    "sent_again_code": "Code resent.",
    "sent_again_flash_call": "Calling you again.",
    "sent_again_inbound_call": "Call this number instead.",
    "expires": "Code expires in",
    "expires_inbound_call": "Time left to call:",
    "change": "Change",
    "other_number": "Change number",
    "new_code": "Get a new code",
    "new_call": "Get a new number to call",
    "title_expired": "Code expired",
    "title_expired_call": "Time to call is over",
    "title_exhausted": "Too many incorrect codes",
    "title_verified": "Number verified",
    "title_cancelled": "Verification cancelled",
    "title_failed": "Code not sent",
    "title_blocked": "Try again later",
    "title_unavailable": "Something went wrong",
    "error_title": "Error:",
    "sending": "Sending…",
    "slow": "This is taking longer than usual…",
    "offline": "You're offline. Nothing was sent, and what you entered is kept.",
    "no_code": "Didn't get a code?",
    "next_channel": "Still waiting? Try this method:",
    "no_code_wait": "It can take up to a minute to arrive.",
    "no_code_number": "Check that the number above is correct.",
    "no_code_blocked": "Check your blocked numbers and spam folder.",
    "no_code_contact": "Contact support",
    "or_else": "or",
    "terms": "Terms of service",
    "privacy": "Privacy policy",
    "cost": "You'll get a text message or a call. Your carrier's rates may apply.",
    "wait_code": "You can get a new code in {duration}.",
    "wait_flash_call": "We can call you again in {duration}.",
    "wait_inbound_call": "You can get a different number in {duration}.",
    "page_stale": "This page was open too long. Please try again.",
    "nothing_to_verify": "There's no code to enter right now. Enter your number to get one.",
    "signed_in_as": "You are signed in as",
    "signed_in": "You are signed in.",
    "signed_out": "You have signed out.",
    "cancel": "Cancel",
    "start_again": "Start over",
    "expired_code": "Your code has expired.",
    "expired_call": "The time to call has run out.",
    "exhausted": "Too many incorrect codes. Request a new one.",
    "cancelled": "This verification was cancelled.",
    "verified_before": "This number has already been verified.",
    "too_many": "Too many attempts.",
    "too_many_sends": "You can't get another code yet.",
    "cannot_send": "We can't send a code right now. Try again in a few minutes or choose another method.",
    "unavailable": "Something went wrong on our side. Please try again in a few minutes.",
    "try_again": "Try again",
    "login_refused": "You can't sign in with this number.",
    "mfa_required": "One more step is needed to sign in. Continue on the site's sign-in page.",
    "signup_title": "Create your account",
    "signup": "Create account",
    "signup_first": "We don't know this number yet. Create an account first.",
    "remember": "Stay signed in on this device",
    "verify_title": "Your mobile number",
    "verify_lead_call": "Enter your mobile number and we'll verify it.",
    "own_number": "Confirm that this is still your number:",
    "check_number": "Verify this number",
    "change_number": "Change number",
    "change_lead": "Your new number replaces the old one once it's verified.",
    "new_number": "New mobile number",
    "number_confirmed": "Your number is verified.",
    "phone_taken": "This number belongs to another account.",
    "phone_refused": "This number can't be added to your account. Contact support.",
    "sign_in_again": "For your security, sign in again to change your number.",
    "sign_in_first": "For your security, sign in again to continue.",
    "verify_first": "To change your number, verify your current number first.",
    "change_title": "Change your number?",
    "change_question": "Do you want to use this number for your account?",
    "change_confirm": "Yes, use this number",
    "sign_in_again_button": "Sign in again",
    "sign_out_others": "Sign out everywhere else",
    "signed_out_others": "You are now signed out on all other devices.",
    "checks_not_set_up": "Phone verification isn't available on this site yet.",
    "logout_title": "Sign out",
    "logout_lead": "Are you sure you want to sign out?",
    "logout": "Sign out",
    "refused_title": "This form was not sent",
    "form_incomplete": "The form did not arrive completely. Go back and send it again.",
    "not_found_title": "Page not found",
    "not_found": "There is no page at this address.",
    "wrong_method": "This page can't be opened this way.",
    "form_too_large": "The form is too large. Go back, shorten what you entered, and send it again.",
    "form_has_files": "This page does not accept files. Go back and send the form without them.",
}

_ENDS = {
    Status.VERIFIED: "verified_before",
    Status.FAILED: "cannot_send",
    Status.EXHAUSTED: "exhausted",
    Status.CANCELLED: "cancelled",
}


class Texts:
    """All texts in one language."""

    def __init__(self, language: Language, catalogue: NullTranslations) -> None:
        self.language = language
        self._gettext, self._ngettext = catalogue.gettext, catalogue.ngettext
        self.page: Mapping[str, str] = {key: catalogue.gettext(text) for key, text in PAGE.items()}
        self.reasons: Mapping[Reason, str] = {reason: catalogue.gettext(text) for reason, text in REASONS.items()}
        self.channels: Mapping[Channel, str] = {channel: catalogue.gettext(text) for channel, text in CHANNELS.items()}
        self.announced_help = catalogue.gettext(ANNOUNCED_HELP)
        self.channel_help: Mapping[Channel, str] = {
            channel: catalogue.gettext(text) for channel, text in CHANNEL_HELP.items()
        }

    def translated(self, text: str) -> str:
        """Return one of these texts in this language; any other text is returned unchanged."""
        return self._gettext(text) if text else text

    def attempts_left(self, count: int) -> str:
        """Return the number of attempts left, as a sentence."""
        if count == 0:
            return self._gettext("No attempts left.")
        return self._counted(self._ngettext("{count} attempt left.", "{count} attempts left.", count), count)

    def code_label(self, length: int | None) -> str:
        """Return the label of the code field, which says how many digits the code has, if known."""
        return self.page["code"] if length is None else self._counted(self._gettext("{count}-digit code"), length)

    def usual_time(self, channel: Channel) -> str:
        """Return how long a code or call of this channel usually takes to arrive."""
        seconds = _USUAL_SECONDS[channel]
        text = self._ngettext("Usually within {count} second", "Usually within {count} seconds", seconds)
        return self._counted(text, seconds)

    def countdown(self, text: str, span: timedelta) -> str:
        """Return a text that a time follows, with this time in words."""
        return f"{self.page[text]} {self.duration(span)}"

    def start_with_plus(self, example: str) -> str:
        """Return the error for a number without `+`. The example keeps its direction in right-to-left text."""
        return self.page["start_with_plus"].format(example=f"\u2066{example}\u2069")

    def last_digits(self, count: int | None) -> str:
        """Return the instruction for a flash call whose code is the last `count` digits of the caller."""
        if count is None:
            return self.page["caller_unknown"]
        text = self._ngettext(
            "Enter the last digit of the number that called you:",
            "Enter the last {count} digits of the number that called you:",
            count,
        )
        return self._counted(text, count)

    def duration(self, span: timedelta) -> str:
        """Return a time span in words, rounded up: seconds below 90 seconds, else minutes.

        Languages with cases have the form that follows "in" here.
        """
        seconds = max(1, math.ceil(span.total_seconds()))
        if seconds < 90:
            return self._counted(self._ngettext("{count} second", "{count} seconds", seconds), seconds)
        minutes = math.ceil(seconds / 60)
        return self._counted(self._ngettext("{count} minute", "{count} minutes", minutes), minutes)

    def wait(self, span: timedelta) -> str:
        """Return when to try again, as a sentence."""
        return self._gettext("Try again in {duration}.").format(duration=self.duration(span))

    def fault(self, fault: str) -> str:
        """Return what is wrong with a field, as a sentence; a text that is no `FieldFault` stays as it is."""
        if not isinstance(fault, FieldFault):
            return fault
        left_to_right = self.language.direction == "ltr"
        said = fault.in_language(self.translated, lambda value: value if left_to_right else f"\u2068{value}\u2069")
        # A value or a place at its start is a name, which keeps its small letters.
        return said if fault.template.startswith("{") else f"{said[:1].upper()}{said[1:]}"

    def wait_until(self, text: str, span: timedelta) -> str:
        """Return a text of the pages with the time to wait."""
        return self.page[text].format(duration=self.duration(span))

    def refusal(self, outcome: Outcome) -> str:
        """Return why an outcome was refused, with the attempts left or the time to wait; "" for a success."""
        if outcome.reason is None:
            return ""
        record = outcome.verification
        if outcome.reason is Reason.TOO_MANY_REQUESTS and outcome.retry_after is not None:
            return f"{self.page['too_many_sends' if outcome.sends else 'too_many']} {self.wait(outcome.retry_after)}"
        if outcome.reason is Reason.MALFORMED_CODE and record is not None and record.code_length is not None:
            return self._counted(self._gettext("Enter the full {count}-digit code."), record.code_length)
        sentences = [self.translated(reason_text(outcome))]
        if outcome.reason is Reason.WRONG_CODE and record is not None:
            sentences.append(self.attempts_left(record.attempts_left))
        if outcome.retry_after is not None:
            sentences.append(self.wait(outcome.retry_after))
        return " ".join(sentences)

    def message(self, code: str, life: timedelta, site_name: str) -> str:
        """Return the message that carries a code, without the machine-readable last line."""
        minutes = max(1, int(life.total_seconds() // 60))
        # Right-to-left translations write the code on its own line: next to a name in Latin letters it would be
        # displayed as part of that name, and invisible direction marks keep phones from finding it.
        if site_name:
            text = self._ngettext(
                "{code} is your {site} code. It expires in {count} minute. Don't share it.",
                "{code} is your {site} code. It expires in {count} minutes. Don't share it.",
                minutes,
            )
        else:
            text = self._ngettext(
                "{code} is your code. It expires in {count} minute. Don't share it.",
                "{code} is your code. It expires in {count} minutes. Don't share it.",
                minutes,
            )
        return text.format(site=site_name, code=code, count=self.language.number(minutes))

    def short_message(self, code: str, site_name: str) -> str:
        """Return the same in fewer characters: without the lifetime."""
        if site_name:
            return self._gettext("{code} is your {site} code. Don't share it.").format(site=site_name, code=code)
        return self._gettext("{code} is your code. Don't share it.").format(code=code)

    def number_changed(self, site_name: str) -> str:
        """Return the SMS to the old number after a change of number."""
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
    """Return the texts in a language; its catalogue is read at the first call."""
    return Texts(language, NullTranslations() if language == ENGLISH else _catalogue(language))


def spoken(line: PhoneNumber) -> str:
    """Return a number in international format, grouped for reading."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(line.e164)
    except phonenumbers.NumberParseException:
        return line.e164
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    # Metadata drops digits of some numbers of former plans.
    return written if "".join(filter(str.isdigit, written)) == line.e164[1:] else line.e164


def caller_prefix(hint: str, phone: PhoneNumber, missing: int | None) -> str:
    """Return the leading digits of a calling number as the phone displays them: `+98 990 000`.

    `missing` digits follow them. A `hint` in national form gets the country code of `phone`, the
    number that is called. A hint that fits no number of the country is returned unchanged.
    """
    import phonenumbers

    digits = hint.removeprefix("+")
    if hint.startswith("0"):
        digits = phone.calling_code + hint.removeprefix("0")
    try:
        whole = phonenumbers.parse(f"+{digits}{'0' * (missing or 0)}")
    except phonenumbers.NumberParseException:
        return hint
    if missing is None or not phonenumbers.is_possible_number(whole):
        return hint
    written = phonenumbers.format_number(whole, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    shown = ""
    for character in written:
        if sum(map(str.isdigit, shown)) == len(digits):
            break
        shown += character
    return shown


@cache
def example_number(region: str, *, national: bool = True) -> str | None:
    """Return an example of a region's mobile number (`0912 345 6789`, `+98 912 345 6789`), or None."""
    import phonenumbers
    from phonenumbers import PhoneNumberFormat as Format

    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        return None
    return phonenumbers.format_number(example, Format.NATIONAL if national else Format.INTERNATIONAL)


def _catalogue(language: Language) -> NullTranslations:
    """Return the catalogue compiled from the language's `.po`, or an empty one with a warning if it is missing.

    A missing catalogue is not an error: a site in English is better than a site that does not start.
    """
    try:
        path = files(__package__).joinpath("locale", language.tag, "LC_MESSAGES", "phone_verify.mo")
        with path.open("rb") as file:
            return GNUTranslations(file)
    except (OSError, ValueError, struct.error):
        log.warning("no translations for %r, texts will be in English: reinstall phone-verify", language.tag)
        return NullTranslations()


def reason_text(outcome: Outcome) -> str:
    """Return why an outcome was refused, in English.

    A failed delivery blames the number only if the provider refused it. A closed verification names its end, and a
    limit of sends is not reported as one of attempts. A refusal by the site has the site's own text, not translated.
    """
    if outcome.reason is None:
        raise ValueError("this outcome is a success")
    if outcome.reason is Reason.DELIVERY_FAILED and outcome.cause is not Cause.NUMBER:
        return PAGE["cannot_send"]
    if outcome.reason is Reason.CLOSED and outcome.verification is not None:
        return end_text(outcome.verification)
    if outcome.reason is Reason.TOO_MANY_REQUESTS and outcome.sends:
        return PAGE["too_many_sends"]
    return outcome.text or REASONS[outcome.reason]


def dial_help(line: PhoneNumber, *, announced: bool) -> str:
    """Return the key in `PAGE` of what a caller of this line hears, and whether the call is free."""
    if not announced:
        return "dial_help"
    return "dial_help_announced_free" if line.is_toll_free else "dial_help_announced"


def end_text(record: Verification) -> str:
    """Return how a verification ended, in English."""
    if record.state is Status.EXPIRED:
        return PAGE["expired_call" if record.code_source is CodeSource.NONE else "expired_code"]
    return PAGE[_ENDS[record.state]] if record.state in _ENDS else REASONS[Reason.CLOSED]
