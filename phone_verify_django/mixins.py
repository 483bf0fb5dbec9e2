"""For a site's class-based views: the decorators' rules, in the style of Django's own access mixins."""

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
    """Lets in who is signed in and has a verified number; others sign in, or confirm one, and come back.

    With `raise_exception` they are answered 403 instead. It stands before the other bases of the view, whose handlers
    may be `async def`.
    """

    verify_url: str | None = None

    def may_pass(self) -> bool:
        """Whether this request is let in."""
        return access.has_phone(self.request)

    def get_login_url(self) -> str:
        """Where to sign in: `login_url`, or as the site says, or our own page."""
        return str(self.login_url) if self.login_url else app_settings.sign_in_url()

    def handle_no_permission(self) -> HttpResponseRedirect:
        """The way to what is missing. Raises `PermissionDenied` with `raise_exception`."""
        if self.raise_exception:
            raise PermissionDenied(self.get_permission_denied_message())
        return access.redirect_to_login_or_verify(
            self.request,
            login_url=self.get_login_url(),
            verify_url=self.verify_url,
            redirect_field_name=self.get_redirect_field_name() or "",
        )

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Go on, or away."""
        onward = super().dispatch
        if not self.view_is_async:
            return self._refused() or onward(request, *args, **kwargs)

        async def awaited() -> HttpResponseBase:
            return await sync_to_async(self._refused)() or await onward(request, *args, **kwargs)  # type: ignore[misc]

        return awaited()  # type: ignore[return-value]

    def _refused(self) -> HttpResponseRedirect | None:
        return None if self.may_pass() else self.handle_no_permission()


class RecentPhoneCheckRequiredMixin(PhoneVerifiedRequiredMixin):
    """Lets in who has proved the own number in this session, at most `max_age` ago; others do so and come back."""

    #: A span of time, or seconds.
    max_age: timedelta | float = 0

    def may_pass(self) -> bool:
        """Whether this request is let in. Raises `ImproperlyConfigured` for a view without a `max_age`."""
        return access.has_checked(self.request, access.span(self.max_age))
