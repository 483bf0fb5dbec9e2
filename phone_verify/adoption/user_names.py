"""How logs and reports name a user: by the primary key, unless that is the user's number."""

from __future__ import annotations

import re

from ..phone import PhoneNumber

#: So many last digits of a number identify it in a key. Every spelling has them, and former numbers too.
_LAST = 7


def user_name(key: object, phone: PhoneNumber | None, text: str = "") -> str:
    """Return `user 17`, or the masked number in place of the key.

    `text` is what the user's field contains, if that is not a number.
    """
    return f"user {shown_key(key, phone, text)}"


def shown_key(key: object, phone: PhoneNumber | None, text: str = "") -> str:
    """Return a row's primary key as text; the masked number if the key holds it, as in some sites' models."""
    shown = str(key)
    if phone is not None and phone.e164[-_LAST:] in re.sub(r"\D", "", shown):
        return phone.hint
    return f"with a key of {len(shown)} characters" if text and text in shown else shown
