"""Our notes in the session, and ending the sessions of a user.

`SessionGeneration` counts per user how often all sessions were ended: when a number was changed,
removed or lost, or at the user's request. A session keeps the count of its sign-in, and is ended
when the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest, SessionUser
from phone_verify.http.session_notes import Notes
from phone_verify.web.messages import Messages

from . import primary
from .models import SessionGeneration
from .site import current_site


def notes(request: HttpRequest) -> Notes:
    """Return our notes in the session of this request."""
    return Notes(request.session)


def is_sent(request: HttpRequest) -> bool:
    """Return whether the client sends a session, without reading it."""
    return hasattr(request, "session") and settings.SESSION_COOKIE_NAME in request.COOKIES


def messages(request: HttpRequest) -> Messages:
    """Return the messages of our pages in the session of this request."""
    return Messages(request.session)


def tags(numbers: Sequence[str]) -> Sequence[str]:
    """Return the tags of these numbers, as stored in sessions."""
    verifier = current_site().verifier
    return [verifier.tag(PhoneNumber(number)) for number in numbers]


def described(
    request: HttpRequest, call: ApiRequest, user: SessionUser | None, *, asks_without_old: bool
) -> ApiRequest:
    """Return the call with the signed-in user and the notes of the session."""
    kept = notes(request)
    has_session = not request.session.is_empty()
    call = replace(call, has_session=has_session, started=kept.started, not_entered=kept.not_entered)
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


@primary.reads()
def user_of(request: HttpRequest) -> AbstractBaseUser | None:
    """Return the signed-in user; None in a session that was ended.

    The rule of our pages, API, decorators, mixins and template tags, with or without `PhoneSessionMiddleware`.
    A user who was read from a replica is read again: that user may be inactive by now.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or is_over(request, user):
        return None
    if not (primary.refresh(user) and getattr(user, "is_active", True)):
        return None
    found: AbstractBaseUser = user
    return found


def replace_by_token(request: HttpRequest, token: str) -> None:
    """Note that this request is identified by a token of the site: its session is not that of its user."""
    request.phone_verify_token = token  # type: ignore[attr-defined]


def token_of(request: HttpRequest) -> str | None:
    """Return the token by which this request is identified; None if its session is."""
    return getattr(request, "phone_verify_token", None)


def generation_of(user_id: Any) -> int:
    """Return how often all sessions of this user were ended."""
    return SessionGeneration.objects.filter(pk=user_id).values_list("generation", flat=True).first() or 0


def end_all(user_id: Any) -> None:
    """End every session of this user.

    Part of the caller's transaction, so that sessions end together with the change that ends them.
    """
    rows = SessionGeneration.objects.filter(pk=user_id)
    if not rows.update(generation=models.F("generation") + 1):
        try:
            with transaction.atomic(using=primary.alias_of(SessionGeneration)):
                SessionGeneration.objects.create(user_id=user_id, generation=1)
        except IntegrityError:  # another request was first
            rows.update(generation=models.F("generation") + 1)


def keep_this(request: HttpRequest | None, user: AbstractBaseUser, *, ends: int) -> None:
    """Keep this request's session, if it is this user's, after `ends` calls of `end_all` in it.

    Compensates only for these calls: if another session ended all of them meanwhile, this one stays ended.
    """
    if request is None or not hasattr(request, "session") or token_of(request) is not None:
        return
    # Not by `request.user`: that would be loaded now, and be anonymous in a session that was ended.
    if request.session.get(SESSION_KEY) == user._meta.pk.value_to_string(user):
        notes(request).keep_generation(notes(request).generation + ends)


def end_others(request: HttpRequest) -> None:
    """End every session of the signed-in user except this one."""
    user: Any = request.user
    end_all(user.pk)
    keep_this(request, user, ends=1)


def is_over(request: HttpRequest, user: AbstractBaseUser) -> bool:
    """Return whether this session of this user was ended."""
    return notes(request).generation != generation_of(user.pk)
