"""Decorators for a site's own views: require a verified number, or a recent verification."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect

from . import access

View = TypeVar("View", bound=Callable[..., Any])


@overload
def phone_verified_required(view: View) -> View: ...
@overload
def phone_verified_required(
    *,
    login_url: str | None = ...,
    verify_url: str | None = ...,
    redirect_field_name: str = ...,
    raise_exception: bool = ...,
) -> Callable[[View], View]: ...


def phone_verified_required(
    view: View | None = None,
    *,
    login_url: str | None = None,
    verify_url: str | None = None,
    redirect_field_name: str = REDIRECT_FIELD_NAME,
    raise_exception: bool = False,
) -> View | Callable[[View], View]:
    """Allow only signed-in users who have a verified number.

    Other users are redirected to sign in or to verify a number, then returned to the page; with
    `raise_exception` they get a 403. Works with plain and `async def` views.
    """

    def decorate(view: View) -> View:
        return _protected(view, access.has_phone, login_url, verify_url, redirect_field_name, raise_exception)

    return decorate if view is None else decorate(view)


def recent_phone_check_required(
    max_age: timedelta | float,
    *,
    login_url: str | None = None,
    verify_url: str | None = None,
    redirect_field_name: str = REDIRECT_FIELD_NAME,
    raise_exception: bool = False,
) -> Callable[[View], View]:
    """Allow only users who verified their number in this session at most `max_age` ago (a number is seconds).

    Other users are redirected to `verify/`, where one button verifies it again, then returned to
    the page. Signing in by phone counts. Raises `ImproperlyConfigured` for an invalid `max_age`.
    """
    age = access.to_timedelta(max_age)

    def decorate(view: View) -> View:
        def has_checked(request: HttpRequest) -> bool:
            return access.has_checked(request, age)

        return _protected(view, has_checked, login_url, verify_url, redirect_field_name, raise_exception)

    return decorate


def _protected(
    view: View,
    test_func: Callable[[HttpRequest], bool],
    login_url: str | None,
    verify_url: str | None,
    redirect_field_name: str,
    raise_exception: bool,
) -> View:
    def denied(request: HttpRequest) -> HttpResponseRedirect | None:
        if test_func(request):
            return None
        if raise_exception:
            raise PermissionDenied
        return access.redirect_to_login_or_verify(
            request, login_url=login_url, verify_url=verify_url, redirect_field_name=redirect_field_name
        )

    if iscoroutinefunction(view):

        @wraps(view)
        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await sync_to_async(denied)(request) or await view(request, *args, **kwargs)

        return cast("View", awaited)

    @wraps(view)
    def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return denied(request) or view(request, *args, **kwargs)

    return cast("View", called)
