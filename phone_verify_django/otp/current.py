"""The current request: a device requires its session, and django-otp passes no request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from phone_verify.before_send import ClientFacts
from phone_verify.http.client_address import call_address
from phone_verify.http.site import Site

from ..calls import facts as facts_of
from ..calls import read_call
from ..site import current_site, site_of

_request: ContextVar[HttpRequest | None] = ContextVar("phone_verify_django.otp.request", default=None)


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """Make `session` return this request's session within the block, also in threads of asgiref."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def address() -> str | None:
    """Return the address of the current client, or None if unknown."""
    request = _request.get()
    return None if request is None else call_address(current_site(), read_call(request))


def facts() -> ClientFacts | None:
    """Return what the site's `before_send` may know of the current request, or None outside of one."""
    request = _request.get()
    return None if request is None else facts_of(request, site_of(request))


def site() -> Site:
    """Return the site under the host of the current request."""
    request = _request.get()
    return current_site() if request is None else site_of(request)


def session() -> SessionBase | None:
    """Return the session of the current request, or None outside of `PhoneFactorMiddleware`."""
    return getattr(_request.get(), "session", None)
