"""The app configuration of the device, a separate app so that its table is optional."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from .. import app_settings

#: Each requires those before it.
_MIDDLEWARE = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
)
_IN_ORDER = ", ".join(_MIDDLEWARE)
MIDDLEWARE_MISSING = (
    "phone_verify_django.otp requires three entries in MIDDLEWARE, in this order, so that a code counts only in the "
    f"session that requested it, and the phone that signed a user in is not the second factor too: {_IN_ORDER}"
)


class PhoneVerifyOtpConfig(AppConfig):
    """`phone_verify_django.otp`; its table is named `phone_verify_otp_phonedevice`."""

    name = "phone_verify_django.otp"
    label = "phone_verify_otp"
    verbose_name = _("Second factor by phone")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse to start if a phone that was used to sign in could be the second factor too."""
        from . import first_factor

        first_factor.connect()
        if not app_settings.is_lenient() and not middleware_is_there():
            raise ImproperlyConfigured(MIDDLEWARE_MISSING)


def middleware_is_there() -> bool:
    """Return whether the settings contain the middleware, in this order."""
    places = [list(settings.MIDDLEWARE).index(name) for name in _MIDDLEWARE if name in settings.MIDDLEWARE]
    return len(places) == len(_MIDDLEWARE) and places == sorted(places)


def complaints() -> Iterator[checks.CheckMessage]:
    """Yield what `ready` refuses, for `phone_verify_django.checks`."""
    if not middleware_is_there():
        yield checks.Error(MIDDLEWARE_MISSING, hint=_IN_ORDER, id="phone_verify_otp.E001")
