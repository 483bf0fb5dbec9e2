"""The app configuration of the bridge, a separate app so that its table is optional."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from phone_verify.errors import ConfigurationError

from .. import app_settings

ADAPTER = "phone_verify_django.allauth.adapter.PhoneVerifyAccountAdapter"
FORMS = {
    "confirm_login_code": "phone_verify_django.allauth.forms.ConfirmLoginCodeForm",
    "verify_phone": "phone_verify_django.allauth.forms.VerifyPhoneForm",
}


class PhoneVerifyAllauthConfig(AppConfig):
    """`phone_verify_django.allauth`; its table is named `phone_verify_allauth_claimedphone`."""

    name = "phone_verify_django.allauth"
    label = "phone_verify_allauth"
    verbose_name = _("Phone login of django-allauth")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse to start if django-allauth does not use our adapter and forms."""
        checks.register(complaints)
        if not app_settings.is_lenient():
            for complaint in complaints():
                if complaint.is_serious():
                    raise ImproperlyConfigured(f"{complaint.msg} {complaint.hint}")


def complaints(**_: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is missing or cannot work, and how to fix it."""
    from allauth.account import app_settings  # type: ignore[import-untyped]

    from .adapter import PhoneVerifyAccountAdapter
    from .forms import PhoneCodeForm

    if not _is(getattr(settings, "ACCOUNT_ADAPTER", None), PhoneVerifyAccountAdapter):
        yield checks.Error(
            "ACCOUNT_ADAPTER is not our adapter, so django-allauth cannot find the owner of a number.",
            hint=f"Set ACCOUNT_ADAPTER = {ADAPTER!r}, or a subclass of it.",
            id="phone_verify_allauth.E001",
        )
    chosen = getattr(settings, "ACCOUNT_FORMS", {})
    wrong = {name: path for name, path in FORMS.items() if not _is(chosen.get(name), PhoneCodeForm)}
    if wrong:
        yield checks.Error(
            f"ACCOUNT_FORMS lacks our forms for {', '.join(wrong)}: those of django-allauth refuse our codes.",
            hint=f"Set ACCOUNT_FORMS = {FORMS}, or subclasses of them.",
            id="phone_verify_allauth.E002",
        )
    if (name := _number_never_empty()) is not None:
        yield checks.Error(
            f"{name} is unique and may not be NULL, and django-allauth creates users before their number is verified: "
            "the second of them gets an error page.",
            hint="Add null=True and blank=True to the field, then run makemigrations and migrate.",
            id="phone_verify_allauth.E005",
        )
    if apps.is_installed("allauth.headless"):
        yield checks.Warning(
            "allauth.headless does not use the site's forms, so it refuses every code sent to a phone.",
            hint="Let clients sign in with our JSON API.",
            id="phone_verify_allauth.W003",
        )
    if app_settings.LOGIN_BY_CODE_MAX_RESEND_COUNT and app_settings.PREVENT_ENUMERATION:
        # It requires the user of a code, who does not exist for an unknown number (65.21, login_by_code.py,
        # `generate_code`).
        yield checks.Warning(
            "ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND: django-allauth responds with 500 to a resend for an unknown "
            "number, and so reveals which numbers are known.",
            hint="Remove it.",
            id="phone_verify_allauth.W004",
        )


def _number_never_empty() -> str | None:
    """Return the name of the user model's field for the number if all users without a number conflict in it."""
    try:
        name = app_settings.account_settings().phone_field_name()
        field = app_settings.user_field(name) if name else None
    except (ConfigurationError, FieldDoesNotExist):  # `phone_verify_django.checks` reports it
        return None
    return None if field is None or field.null or not field.unique else f"{field.model._meta.label}.{name}"


def _is(path: object, kind: type) -> bool:
    try:
        found = import_string(path) if isinstance(path, str) else path
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, kind)
