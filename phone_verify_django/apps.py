"""The app configuration."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from phone_verify.errors import ConfigurationError

_NEEDED = ("django.contrib.contenttypes", "django.contrib.auth")


class PhoneVerifyConfig(AppConfig):
    """`phone_verify_django`; its label, and so its tables and permissions, have this name too.

    `phone_verify` is the label of another package, django-phone-verify, and may be in the history
    of a site's migrations.
    """

    name = "phone_verify_django"
    label = "phone_verify_django"
    verbose_name = _("Phone verification")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Import the models. Raises `ConfigurationError` without the apps that they need."""
        if missing := [name for name in _NEEDED if not apps.is_installed(name)]:
            names = " and ".join(map(repr, missing))
            raise ConfigurationError(f"phone_verify_django needs {names}", f"Add {names} to INSTALLED_APPS.")
        super().import_models()

    def ready(self) -> None:
        """Refuse invalid settings at start-up, not at the first request. Opens no connection."""
        # The last three register checks and receivers.
        from . import (  # noqa: F401
            app_settings,
            checks,
            login_stages,
            model_checks,
            pending_signup,
            site_requirements,
        )
        from .site import validate
        from .store.functions import make_functions

        post_migrate.connect(make_functions, sender=self)
        validate()
        checks.refuse_mistakes()
        site_requirements.log_names_outside()
        if apps.is_installed("allauth.account"):
            from .allauth import requirements

            if not requirements.is_too_old():
                from .allauth import login

                login_stages.register(login)
            elif not app_settings.is_lenient():
                raise ImproperlyConfigured(f"{requirements.TOO_OLD} {requirements.UPGRADE}")
