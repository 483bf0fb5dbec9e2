"""Ends sessions in the site's own views too.

    MIDDLEWARE = [
        …,
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "phone_verify_django.middleware.PhoneSessionMiddleware",
    ]

After a number was changed, removed or lost every other session of its user ends. Our own pages, API, decorators and
mixins check that by themselves; for all other views this middleware does, where the user is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from . import sessions


class PhoneSessionMiddleware:
    """Makes `request.user` anonymous in a session that was ended. Reads nothing for a request that asks for no user."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if not hasattr(request, "user"):
            raise ImproperlyConfigured(
                "MIDDLEWARE: PhoneSessionMiddleware needs the user; write it after "
                "'django.contrib.auth.middleware.AuthenticationMiddleware'"
            )
        loaded = request.user
        request.user = SimpleLazyObject(lambda: _current(request, loaded))  # type: ignore[assignment]

        async def auser() -> Any:
            return await sync_to_async(_current)(request, loaded)

        request.auser = auser
        return self.get_response(request)


def _current(request: HttpRequest, user: Any) -> Any:
    if not user.is_authenticated or not sessions.is_over(request, user):
        return user
    request.session.flush()
    return AnonymousUser()
