"""Serialised records for the scripts: strings, each followed by a NUL. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import call, itemgetter
from typing import Any, TypeVar

from ...codes import TAG_LENGTH
from ...lifecycle import Attachment, Opening
from ...limits import Quota
from ...model import Channel, CodeSource, Failures, Request, Status, Verification
from ...phone import Attestation, PhoneNumber
from ...policy import resend_delay

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: The values of a record, in the order in which the scripts join them. Those from `subject` on were added later.
_NAMES = (
    "id", "phone", "purpose", "service", "binding", "locale", "channel", "driver", "code_source", "key_id",
    "generation", "code_digest", "code_length", "short", "reference", "line", "caller_hint", "acked_send", "status",
    "attempts_left", "sends", "redeemed", "released_lines", "trusted", "pending_checks", "created_at", "expires_at",
    "resend_at", "closed_at", "polled_at", "subject", "budget", "mistakes", "tallied_short", "tallied_long", "by_pair",
    "claim_driver", "claim_reference", "claim_line", "claim_send", "code_channel", "waits", "by_call",
    "proved_channels", "other_caller_at", "attestation", "access_key", "channels",
)  # fmt: skip
VALUES = len(_NAMES)
#: What the later ones are in an older record.
_ADDED = ("", "", "0", "0", "0", "", "", "", "", "0", "", "", "", "", "", "", "", "")


def micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def microseconds(span: timedelta) -> int:
    return span // _MICROSECOND


def time_of(micros: str) -> datetime:
    return _EPOCH + int(micros) * _MICROSECOND


def plain(text: str) -> str:
    """Remove NULs from the text so that it can be joined with others. Equal texts stay equal,
    different ones stay different.
    """
    return text.replace("\\", "\\b").replace("\0", "\\0") if "\0" in text or "\\" in text else text


def was_plain(text: str) -> str:
    """Return the text that was passed to `plain`."""
    return text.replace("\\0", "\0").replace("\\b", "\\")


def optional(text: str | None) -> str:
    """Encode an optional text."""
    return "" if text is None else f"={plain(text)}"


def number(number: int | None) -> str:
    return "" if number is None else str(number)


def flag(flag: bool) -> str:
    return "1" if flag else ""


def digest(digest: bytes | None) -> str:
    return "" if digest is None else digest.hex()


def opening_values(opening: Opening) -> tuple[str, ...]:
    """Return the values of a new record up to its times, which the server sets; the later ones; and
    what the times depend on.
    """
    request = opening.request
    return (
        plain(request.id),
        request.phone.e164,
        plain(request.purpose),
        plain(request.service),
        request.binding.hex(),
        optional(request.locale),
        opening.channel.value,
        plain(opening.driver),
        opening.plan.code_source.value,
        plain(opening.key_id),
        "1",  # generation
        digest(opening.code_digest),
        number(opening.plan.code_length),
        flag(opening.plan.short),
        "",  # reference
        "",  # line
        "",  # caller_hint
        "0",  # acked_send
        "pending",
        str(opening.plan.attempts),
        "1",  # sends
        "",  # redeemed
        "",  # released_lines
        flag(request.trusted),
        "0",  # pending_checks
        request.subject,
        request.budget,
        request.proved_channels,
        request.access_key,
        request.channels,
        str(microseconds(opening.plan.ttl)),
        str(microseconds(resend_delay(opening.resend_after, 1))),
        flag(opening.short),
    )


def phone_quotas(quotas: Sequence[Quota]) -> Iterator[str]:
    """Return the quotas of a phone, whose windows are fields of its key."""
    for quota in quotas:
        yield plain(quota.key)
        yield from (str(quota.limit), str(microseconds(quota.window)), flag(quota.others))


def shared_quotas(quotas: Sequence[Quota]) -> Iterator[str]:
    """Return the numbers of quotas that each have a separate key."""
    for quota in quotas:
        yield from (str(quota.limit), str(microseconds(quota.window)), flag(quota.others), flag(quota.gate))


def failures_of(text: str) -> Failures | None:
    """Return the failures reported by a script."""
    if not text:
        return None
    count, last_at, expires_at, total, locks, locked_until = text.split()
    lock = None if locked_until == "0" else time_of(locked_until)
    return Failures(int(count), time_of(last_at), time_of(expires_at), int(total), int(locks), lock)


def receipt_values(attachment: Attachment) -> tuple[str, ...]:
    """Return what a receipt puts on a record, in the order that the script expects."""
    return (
        str(attachment.sends),
        attachment.status.value,
        optional(attachment.line.e164 if attachment.line is not None else None),
        attachment.plan.code_source.value,
        str(attachment.plan.attempts),
        str(microseconds(attachment.plan.ttl)),
        attachment.channel.value,
        plain(attachment.driver),
        plain(attachment.key_id),
        str(attachment.generation),
        digest(attachment.code_digest),
        number(attachment.code_length),
        flag(attachment.plan.short),
        optional(attachment.reference),
        optional(attachment.caller_hint),
        flag(attachment.any_line),
        flag(attachment.leased),
    )


def record_of(values: Sequence[str], read_at: datetime, failures: Failures | None) -> Verification:
    """Return the record that a script returned, as of `read_at`."""
    # The reply ends with an empty text, also after an older record.
    texts = values[:VALUES] if len(values) > VALUES else (*values[:-1], *_ADDED[len(values) - 1 - VALUES :])
    read = (*map(call, _READERS, texts), texts[0][:TAG_LENGTH], read_at, failures)
    return Verification(Request(*_of_request(read)), *_of_record(read))


def _given(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return a reader to which an empty text means None."""
    return lambda text: read(text) if text else None


def _released_lines(lines: str) -> str:
    # The scripts have no calendar; `lifecycle` formats these times as dates.
    entries = (entry.partition("@") for entry in lines.split())
    return " ".join(f"{line}@{time_of(at).isoformat()}" for line, _, at in entries)


_CHANNELS = {channel.value: channel for channel in Channel}
_NUMBERS = ("generation", "acked_send", "attempts_left", "sends", "pending_checks", "claim_send")
#: How the values that are no plain text are read.
_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys((*_NUMBERS, "mistakes", "tallied_short", "tallied_long"), int),
    **dict.fromkeys(("short", "redeemed", "trusted", "by_pair", "by_call"), bool),
    **dict.fromkeys(("created_at", "expires_at", "resend_at"), time_of),
    **dict.fromkeys(("closed_at", "polled_at", "other_caller_at"), _given(time_of)),
    **dict.fromkeys(("locale", "reference", "caller_hint", "claim_reference"), _given(lambda text: text[1:])),
    **dict.fromkeys(("line", "claim_line"), _given(lambda text: PhoneNumber(text[1:]))),
    "phone": PhoneNumber,
    "binding": bytes.fromhex,
    "channel": _CHANNELS.__getitem__,
    "code_source": {source.value: source for source in CodeSource}.__getitem__,
    "status": {status.value: status for status in Status}.__getitem__,
    "code_digest": _given(bytes.fromhex),
    "code_length": _given(int),
    "code_channel": _given(_CHANNELS.__getitem__),
    "released_lines": _released_lines,
    "attestation": _given(Attestation),
}
_READERS = [_READ.get(name, str) for name in _NAMES]
_PLACES = {name: place for place, name in enumerate((*_NAMES, "tag", "read_at", "failures"))}
_of_request = itemgetter(*(_PLACES[field.name] for field in fields(Request)))
_of_record = itemgetter(*(_PLACES[field.name] for field in fields(Verification) if field.name != "request"))
