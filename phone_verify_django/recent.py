"""When whoever is signed in last proved the own number: what a step asks for that is worth a second look.

It says nothing of django-otp's verification, which is another promise: there the phone must not be the first factor.
"""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest

from phone_verify.api import moments

#: In the session: when its user proved the own number.
CHECKED_AT = "phone_verify_checked_at"


def note_check(request: HttpRequest) -> None:
    """Note that whoever is signed in has just proved the own number.

    It goes with the session's user, since Django gives another one a new session.
    """
    request.session[CHECKED_AT] = moments.now()


def checked_for(request: HttpRequest) -> timedelta | None:
    """How long ago whoever is signed in proved the own number in this session; None where that was never."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return moments.ago(request.session.get(CHECKED_AT))
