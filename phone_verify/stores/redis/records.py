"""Serialised records for the scripts: strings, each followed by a NUL. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from ...codes import TAG_LENGTH
from ...lifecycle import Attachment, Opening
from ...limits import Quota
from ...model import Channel, CodeSource, Failures, Request, Status, Verification
from ...phone import Attestation, PhoneNumber
from ...policy import resend_delay

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_OLD_VALUES = 30
#: The number of values in a record.
VALUES = 48
#: What the values after the first `_OLD_VALUES` are in records written before they were added.
_DEFAULTS = ("", "", "0", "0", "0", "", "", "", "", "0", "", "", "", "", "", "", "", "")

_CHANNELS = {channel.value: channel for channel in Channel}
_CODE_SOURCES = {code_source.value: code_source for code_source in CodeSource}
_STATUSES = {status.value: status for status in Status}


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
    (
        id, phone, purpose, service, binding, locale, channel, driver, code_source, key_id, generation, code_digest,
        code_length, short, reference, line, caller_hint, acked_send, status, attempts_left, sends, redeemed,
        released_lines, trusted, pending_checks, created_at, expires_at, resend_at, closed_at, polled_at,
    ) = values[:_OLD_VALUES]  # fmt: skip
    # Records written before these values were added end earlier, and the reply with an empty text.
    more = values[_OLD_VALUES:VALUES] if len(values) > VALUES else values[_OLD_VALUES:-1]
    (
        subject, budget, mistakes, tallied_short, tallied_long, by_pair,
        claim_driver, claim_reference, claim_line, claim_send, code_channel, waits, by_call,
        proved_channels, other_caller_at, attestation, access_key, channels,
    ) = (*more, *_DEFAULTS[len(more):])  # fmt: skip
    return Verification(
        request=Request(
            id=id,
            tag=id[:TAG_LENGTH],
            phone=PhoneNumber(phone),
            purpose=purpose,
            service=service,
            binding=bytes.fromhex(binding),
            locale=locale[1:] if locale else None,
            trusted=bool(trusted),
            subject=subject,
            budget=budget,
            proved_channels=proved_channels,
            access_key=access_key,
            channels=channels,
        ),
        channel=_CHANNELS[channel],
        driver=driver,
        code_source=_CODE_SOURCES[code_source],
        status=_STATUSES[status],
        key_id=key_id,
        generation=int(generation),
        code_digest=bytes.fromhex(code_digest) if code_digest else None,
        code_length=int(code_length) if code_length else None,
        short=bool(short),
        attempts_left=int(attempts_left),
        sends=int(sends),
        created_at=time_of(created_at),
        expires_at=time_of(expires_at),
        resend_at=time_of(resend_at),
        read_at=read_at,
        reference=reference[1:] if reference else None,
        line=PhoneNumber(line[1:]) if line else None,
        caller_hint=caller_hint[1:] if caller_hint else None,
        closed_at=time_of(closed_at) if closed_at else None,
        redeemed=bool(redeemed),
        polled_at=time_of(polled_at) if polled_at else None,
        acked_send=int(acked_send),
        released_lines=_released_lines(released_lines) if released_lines else "",
        pending_checks=int(pending_checks),
        mistakes=int(mistakes),
        tallied_short=int(tallied_short),
        tallied_long=int(tallied_long),
        by_pair=bool(by_pair),
        claim_driver=claim_driver,
        claim_reference=claim_reference[1:] if claim_reference else None,
        claim_line=PhoneNumber(claim_line[1:]) if claim_line else None,
        claim_send=int(claim_send),
        code_channel=_CHANNELS[code_channel] if code_channel else None,
        waits=waits,
        by_call=bool(by_call),
        other_caller_at=time_of(other_caller_at) if other_caller_at else None,
        attestation=Attestation(attestation) if attestation else None,
        failures=failures,
    )


def _released_lines(lines: str) -> str:
    # The scripts have no calendar; `lifecycle` formats these times as dates.
    entries = (entry.partition("@") for entry in lines.split())
    return " ".join(f"{line}@{time_of(at).isoformat()}" for line, _, at in entries)
