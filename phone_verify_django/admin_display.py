"""How the admin writes numbers, times, channels and states, in the language of the staff user."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from phone_verify import Channel, PhoneNumber, Status
from phone_verify.model import CodeSource

CHANNELS: dict[str, Promise] = {
    Channel.SMS.value: _("SMS"),
    Channel.FLASH_CALL.value: _("Flash call"),
    Channel.INBOUND_CALL.value: _("Inbound call"),
    Channel.VOICE.value: _("Voice call"),
    Channel.TELEGRAM.value: _("Telegram"),
    Channel.WHATSAPP.value: _("WhatsApp"),
}

STATES: dict[str, Promise] = {
    Status.PENDING.value: _("Sending"),
    Status.SENT.value: _("Sent"),
    Status.VERIFIED.value: _("Verified"),
    Status.FAILED.value: _("Not delivered"),
    Status.EXHAUSTED.value: _("Out of attempts"),
    Status.EXPIRED.value: _("Expired"),
    Status.CANCELLED.value: _("Cancelled"),
}

#: Who creates the code, by the value in the column `code_source`.
CODE_SOURCES: dict[str, Promise] = {
    CodeSource.LOCAL.value: _("this site"),
    CodeSource.PROVIDER.value: _("the provider"),
    CodeSource.REMOTE_CHECK.value: _("the provider, which checks it"),
    CodeSource.NONE.value: _("no code"),
}

_REASONS: dict[str, Promise] = {
    Status.FAILED.value: _("No provider accepted the message. The log names the cause."),
    Status.EXHAUSTED.value: _("Too many incorrect codes."),
    Status.CANCELLED.value: _("Replaced by a newer verification, or cancelled."),
}
_NO_CALL, _NO_CODE = _("No call in time."), _("No correct code in time.")


def number(phone: str) -> str:
    """Return the masked number, isolated so that it keeps its order in right-to-left text."""
    return format_html('<bdi dir="ltr" class="phone-verify-number">{}</bdi>', PhoneNumber(phone).hint)


def state_badge(state: str) -> str:
    """Return the name of a state on its colour (`phone_verify/admin.css`)."""
    return format_html('<span class="phone-verify-state" data-state="{}">{}</span>', state, STATES[state])


def reason(state: str, code_source: str) -> str:
    """Return why a verification ended without success; empty for others."""
    if state == Status.EXPIRED.value:
        return str(_NO_CALL if code_source == CodeSource.NONE.value else _NO_CODE)
    return str(_REASONS.get(state, ""))


def yes(value: object) -> str:
    """Return "yes" or nothing. Django's icon for False is a red cross, which reads as an error."""
    return str(_("Yes")) if value else "–"


def time(moment: datetime) -> str:
    """Return a time with seconds, which Django's formats leave out, in the site's time zone."""
    aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    text = timezone.localtime(aware).strftime("%Y-%m-%d %H:%M:%S")
    return format_html('<time dir="ltr" class="phone-verify-time">{}</time>', text)


def time_of_micros(micros: int) -> str:
    """Return the time of a verification's column."""
    return time(datetime.fromtimestamp(micros // 1_000_000, UTC))
