"""For a site's own views: who must have a verified number, and who must have proved it lately."""

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
    """Let in who is signed in and has a verified number; others sign in, or confirm one, and come back.

    With `raise_exception` they are answered 403 instead. For views of either kind, plain or `async def`.
    """

    def decorate(view: View) -> View:
        return _gated(view, access.has_phone, login_url, verify_url, redirect_field_name, raise_exception)

    return decorate if view is None else decorate(view)


def recent_phone_check_required(
    max_age: timedelta | float,
    *,
    login_url: str | None = None,
    verify_url: str | None = None,
    redirect_field_name: str = REDIRECT_FIELD_NAME,
    raise_exception: bool = False,
) -> Callable[[View], View]:
    """Let in who has proved the own number in this session, at most `max_age` ago (a number is seconds).

    Others do so on `verify/`, by one button, and come back. Signing in by phone counts. Raises `ImproperlyConfigured`
    for a `max_age` that is no span of time.
    """
    age = access.span(max_age)

    def decorate(view: View) -> View:
        def has_checked(request: HttpRequest) -> bool:
            return access.has_checked(request, age)

        return _gated(view, has_checked, login_url, verify_url, redirect_field_name, raise_exception)

    return decorate


def _gated(
    view: View,
    may_pass: Callable[[HttpRequest], bool],
    login_url: str | None,
    verify_url: str | None,
    redirect_field_name: str,
    raise_exception: bool,
) -> View:
    def refused(request: HttpRequest) -> HttpResponseRedirect | None:
        if may_pass(request):
            return None
        if raise_exception:
            raise PermissionDenied
        return access.redirect_to_login_or_verify(
            request, login_url=login_url, verify_url=verify_url, redirect_field_name=redirect_field_name
        )

    if iscoroutinefunction(view):

        @wraps(view)
        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await sync_to_async(refused)(request) or await view(request, *args, **kwargs)

        return cast("View", awaited)

    @wraps(view)
    def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return refused(request) or view(request, *args, **kwargs)

    return cast("View", called)
