"""Mixins for a site's class-based views: the rules of the decorators, like Django's own access mixins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.mixins import AccessMixin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.generic import View

from . import access, app_settings


class PhoneVerifiedRequiredMixin(AccessMixin, View):
    """Allow only signed-in users who have a verified number.

    Other users are redirected to sign in or to verify a number, then returned to the page; with
    `raise_exception` they get a 403. Put it before the other base classes of the view, whose
    handlers can be `async def`.
    """

    verify_url: str | None = None

    def test_func(self) -> bool:
        """Return whether this request is allowed."""
        return access.has_phone(self.request)

    def get_login_url(self) -> str:
        """Return `login_url`, the site's `LOGIN_URL` or our own sign-in page."""
        return str(self.login_url) if self.login_url else app_settings.sign_in_url()

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Redirect to the missing step. Raises `PermissionDenied` with `raise_exception`."""
        if self.raise_exception:
            raise PermissionDenied(self.get_permission_denied_message())
        return access.redirect_to_login_or_verify(
            self.request,
            login_url=self.get_login_url(),
            verify_url=self.verify_url,
            redirect_field_name=self.get_redirect_field_name() or "",
        )

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the view if `test_func` allows it."""
        dispatch = super().dispatch
        if not self.view_is_async:
            return self._denied() or dispatch(request, *args, **kwargs)

        async def awaited() -> HttpResponseBase:
            return await sync_to_async(self._denied)() or await dispatch(request, *args, **kwargs)  # type: ignore[misc]

        return awaited()  # type: ignore[return-value]

    def _denied(self) -> HttpResponseRedirect | None:
        return None if self.test_func() else self.handle_no_permission()


class RecentPhoneCheckRequiredMixin(PhoneVerifiedRequiredMixin):
    """Allow only users who verified their number in this session at most `max_age` ago.

    Other users are redirected to verify it again, then returned to the page.
    """

    #: A timedelta, or seconds.
    max_age: timedelta | float = 0

    def test_func(self) -> bool:
        """Return whether this request is allowed. Raises `ImproperlyConfigured` without a `max_age`."""
        return access.has_checked(self.request, access.to_timedelta(self.max_age))
