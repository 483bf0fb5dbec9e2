"""When the signed-in user last verified a number in this session: what step-up verification asks for.

A verification counts only for a number that was the user's before the session began, or that signed it in: a number
added in the session itself proves nothing about its user. django-otp's verification is another promise: there the
phone must not be the first factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.http import HttpRequest

from phone_verify import PhoneNumber

from . import sessions
from .site import current_site

#: In the session: when its user last verified a number that counts.
CHECKED_AT = "phone_verify_checked_at"


def note_check(request: HttpRequest, phone: PhoneNumber) -> None:
    """Note that the signed-in user has just verified this number, if it counts in this session."""
    sessions.notes(request).check(current_site().verifier.tag(phone))


def note_sign_in(request: HttpRequest, phone: PhoneNumber, *, started: Sequence[str] = ()) -> None:
    """Note that this number has just signed the session in; `started` are the ids that the session still notes."""
    sessions.notes(request).signed_in_by(current_site().verifier.tag(phone), started)


def last_phone_check(request: HttpRequest) -> timedelta | None:
    """How long ago the signed-in user last verified a number in this session; None if never."""
    return None if sessions.user_of(request) is None else sessions.notes(request).last_phone_check
