"""The request being served, whose session a device needs: django-otp passes no request to its devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

_request: ContextVar[HttpRequest | None] = ContextVar("phone_verify_django.otp.request", default=None)


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """Within it, `session` returns this request's session. Code that the request calls in threads sees it too."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def session() -> SessionBase | None:
    """Return the session of the request being served, or None outside of `PhoneFactorMiddleware`."""
    return getattr(_request.get(), "session", None)
