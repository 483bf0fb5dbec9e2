"""Middleware that ends sessions in the site's own views too.

    MIDDLEWARE = [
        …,
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "phone_verify_django.middleware.PhoneSessionMiddleware",
    ]

After a number was changed, removed or lost, every other session of its user ends. Our own pages, API,
decorators and mixins check that themselves; this middleware does it for all other views, when the
user is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from phone_verify.http.cookies import COOKIE, cookie_name

from . import calls, primary, sessions
from .site import current_site


class PhoneSessionMiddleware:
    """Make `request.user` anonymous in a session that was ended. Reads nothing until `request.user` is used.

    Session and user are read from the database that is written: a replica may not have a new session yet.
    After a sign-in or sign-out by any method it also deletes the cookie of verifications started in the browser.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if not hasattr(request, "user"):
            raise ImproperlyConfigured(
                "MIDDLEWARE: PhoneSessionMiddleware needs request.user; put it after "
                "'django.contrib.auth.middleware.AuthenticationMiddleware'"
            )
        loaded = request.user
        request.user = SimpleLazyObject(lambda: _current(request, loaded))  # type: ignore[assignment]

        async def auser() -> Any:
            return await sync_to_async(_current)(request, loaded)

        request.auser = auser
        if iscoroutinefunction(self):
            return self._call_async(request)
        return _without_verifications(request, self.get_response(request))

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        return _without_verifications(request, await self.get_response(request))


@receiver(user_logged_in, dispatch_uid="phone_verify_django.middleware.in")
@receiver(user_logged_out, dispatch_uid="phone_verify_django.middleware.out")
def _mark_user_changed(request: HttpRequest | None, **_: object) -> None:
    if request is not None:
        request.phone_verify_user_changed = True  # type: ignore[attr-defined]


def _without_verifications(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    name = cookie_name(COOKIE, https=request.is_secure())
    if not getattr(request, "phone_verify_user_changed", False) or name in response.cookies:
        return response
    if response.status_code >= 500:  # Django has not saved the session
        return response
    if name in request.COOKIES:
        calls.finish(request, response, current_site(), cookie="")
    return response


@primary.reads()
def _current(request: HttpRequest, user: Any) -> Any:
    if not user.is_authenticated or not sessions.is_over(request, user):
        return user
    request.session.flush()
    return AnonymousUser()
