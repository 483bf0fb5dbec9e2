"""Which phone somebody has signed in by, so that the same phone does not count a second time.

The session remembers it by the phone's tag, not by the number: a session may be a cookie that can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, load_backend
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from phone_verify import PhoneNumber

from .. import conf
from ..backends import PhoneBackend

SESSION_KEY = "phone_verify_first_factor"

_served: ContextVar[HttpRequest | None] = ContextVar("phone_verify_django.otp.served", default=None)


def watch() -> None:
    """From now on remember with each login by phone which phone it was."""
    user_logged_in.connect(_remember, dispatch_uid="phone_verify_django.otp")


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """Within it `is_used` looks at this request's session."""
    token = _served.set(request)
    try:
        yield
    finally:
        _served.reset(token)


def is_used(phone: PhoneNumber) -> bool:
    """Whether whoever makes the present request has signed in by this phone. Outside of requests nobody has."""
    request = _served.get()
    return request is not None and is_used_in(request.session, phone)


def is_used_in(session: SessionBase, phone: PhoneNumber) -> bool:
    """Whether this session was begun by this phone, or by one that is not known any more."""
    if not _by_phone(session):
        return False
    tag = session.get(SESSION_KEY)
    return tag is None or tag == conf.site().verifier.tag(phone)


def _by_phone(session: SessionBase) -> bool:
    path = session.get(BACKEND_SESSION_KEY)
    if path is None:
        return False
    try:
        return isinstance(load_backend(path), PhoneBackend)
    except ImportError:  # of a backend that is gone: Django takes its sessions for nobody's
        return False


def _remember(request: HttpRequest, user: Any, **_: object) -> None:
    # django-otp signs a user in once more when the second factor is shown: then nothing was proven anew.
    phone = getattr(user, "proven_phone", None)
    if phone is not None:
        request.session[SESSION_KEY] = conf.site().verifier.tag(phone)
