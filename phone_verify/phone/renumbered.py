"""The number that a number became when a numbering plan changed, and the one that it was before.

A rule counts only if the installed metadata confirms it: the new number is valid, and the old one
is invalid today, so that it belongs to no other subscriber. Of two spellings both may be valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .renumberings import RENUMBERINGS, Renumbering

_RULES = [(rule, re.compile(rule.old, re.ASCII)) for rule in RENUMBERINGS]
#: Calling codes whose plan changed, as stored numbers begin.
CHANGED_PREFIXES = tuple(dict.fromkeys(f"+{rule.calling_code}" for rule in RENUMBERINGS))


def current_form(e164: str) -> str:
    """Return the number that this one became, or the number itself."""
    if e164.startswith(CHANGED_PREFIXES):
        for rule, pattern in _RULES:
            national = _national(e164, rule)
            if pattern.fullmatch(national) is None:
                continue
            new = _with_code(rule, national, rule.removed, rule.inserted)
            if _is_valid(new) and (rule.since is None or not _is_valid(e164)):
                return new
    return e164


def former_forms(e164: str) -> list[str]:
    """Return the numbers that became this one."""
    return [old for old in _candidates(e164) if current_form(old) == e164]


def _candidates(e164: str) -> Iterator[str]:
    if e164.startswith(CHANGED_PREFIXES):
        for rule, pattern in _RULES:
            national = _national(e164, rule)
            if national[rule.at :].startswith(rule.inserted):
                old = _with_code(rule, national, rule.inserted, rule.removed)
                if pattern.fullmatch(_national(old, rule)):
                    yield old


def _national(e164: str, rule: Renumbering) -> str:
    """Return the significant national number; empty for another calling code."""
    code = f"+{rule.calling_code}"
    return e164[len(code) :] if e164.startswith(code) else ""


def _with_code(rule: Renumbering, national: str, removed: str, inserted: str) -> str:
    rest = national[rule.at + len(removed) :]
    return f"+{rule.calling_code}{national[: rule.at]}{inserted}{rest}"


def _is_valid(e164: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return False
