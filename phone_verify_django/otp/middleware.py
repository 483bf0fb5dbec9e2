"""Give devices the session they need, and keep a phone from being both factors of one session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django_otp import DEVICE_ID_SESSION_KEY

from . import current, first_factor
from .models import PhoneDevice


class PhoneFactorMiddleware:
    """Bind codes to the session that requested them; revoke a second factor equal to the first.

    Place it after `django_otp.middleware.OTPMiddleware`. It reads the session when `user` is read.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Handle the request with a user whose second factor differs from the first."""
        request.user = SimpleLazyObject(partial(_checked, request, request.user))  # type: ignore[assignment]
        request.auser = partial(_achecked, request, request.auser)
        if self._is_async:
            return self._call_async(request)
        with current.serving(request):
            response: HttpResponse = self._get_response(request)
            return response

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        with current.serving(request):
            response: HttpResponse = await self._get_response(request)
            return response


def _checked(request: HttpRequest, user: Any) -> Any:
    device = getattr(user, "otp_device", None)
    if isinstance(device, PhoneDevice) and first_factor.is_used_in(request.session, device.number):
        request.session.pop(DEVICE_ID_SESSION_KEY, None)
        user.otp_device = None
    return user


async def _achecked(request: HttpRequest, auser: Callable[[], Awaitable[Any]]) -> Any:
    return await sync_to_async(_checked)(request, await auser())
