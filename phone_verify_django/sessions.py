"""What a session keeps for this library: our notes in Django's session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.http import HttpRequest

from phone_verify import PhoneNumber
from phone_verify.api import Call, SessionUser
from phone_verify.api.notes import Notes

from . import conf


def notes(request: HttpRequest) -> Notes:
    """Return our notes in the session of this request."""
    return Notes(request.session)


def tags(numbers: Sequence[str]) -> Sequence[str]:
    """Return the tags of these numbers, by which sessions know them."""
    verifier = conf.site().verifier
    return [verifier.tag(PhoneNumber(number)) for number in numbers]


def described(request: HttpRequest, call: Call, user: SessionUser | None, *, asks_without_old: bool) -> Call:
    """Return the call with the signed-in user and what the session knows."""
    kept = notes(request)
    call = replace(call, has_session=not request.session.is_empty(), started=kept.started)
    if user is None:
        return call
    held = tags(user.numbers)
    return replace(
        call,
        user=user,
        signed_in_for=kept.signed_in_for,
        proved_for=kept.proved_for(held),
        present_counts=any(kept.counts(number) for number in held),
        asks_without_old=asks_without_old,
    )
