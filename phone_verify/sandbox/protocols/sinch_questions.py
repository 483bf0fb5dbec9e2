"""A site's reply to Sinch's question whether a verification may start."""

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

_SECTIONS: Final = {"sms": "sms", "flashcall": "flashCall", "callout": "callout", "whatsapp": "whatsapp"}
_CODE: Final = re.compile(r"[0-9A-Za-z]{3,10}", re.ASCII)
_CALLER: Final = re.compile(r"\+?[1-9][0-9]{6,14}", re.ASCII)
_SPAN: Final = re.compile(r"([0-9]{2}):([0-5][0-9]):([0-5][0-9])", re.ASCII)
#: Kinds of codes, in lower case, with their characters.
CODE_TYPES: Final = {
    "numeric": "0123456789",
    "alpha": "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "alphanumeric": "ABCDEFGHJKLMNPQRSTUVWXYZ23456789",
}


@dataclass(frozen=True, slots=True)
class Permit:
    """What the site decided: `code` and `caller` replace those that Sinch would choose."""

    allowed: bool = True
    code: str = field(default="", repr=False)
    caller: str = field(default="", repr=False)
    code_type: str = ""
    expiry: timedelta | None = None


def read_permit(body: bytes, method: str) -> Permit | None:
    """Parse the site's reply; None if it is invalid."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or reply.get("action") not in ("allow", "deny"):
        return None
    if reply["action"] == "deny":
        return Permit(allowed=False)
    section = reply.get(_SECTIONS[method])
    if section is None:
        return Permit()
    if not isinstance(section, dict):
        return None
    code, caller, kind = (section.get(name) or "" for name in ("code", "cli", "codeType"))
    span = section.get("expiry")
    if (
        not all(isinstance(each, str) for each in (code, caller, kind))
        or (code and not _CODE.fullmatch(code))
        or (caller and not _CALLER.fullmatch(caller))
        or (kind and kind.lower() not in CODE_TYPES)
        or (span is not None and read_span(span) is None)
    ):
        return None
    number = f"+{caller.removeprefix('+')}" if caller else ""
    return Permit(code=code, caller=number, code_type=kind, expiry=read_span(span))


def read_span(value: object) -> timedelta | None:
    """Parse a time in the form HH:MM:SS; None if it is invalid or zero."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    hours, minutes, seconds = map(int, match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds) or None
