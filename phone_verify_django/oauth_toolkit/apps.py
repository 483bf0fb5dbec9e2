"""The app configuration of the bridge, and its system checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from phone_verify.errors import ConfigurationError
from phone_verify.oauth.grant import START_SCOPE

from .. import app_settings, oauth_clients

BACKEND = "phone_verify_django.oauth_toolkit.core.PhoneVerifyOAuthCore"


class PhoneVerifyOAuthToolkitConfig(AppConfig):
    """`phone_verify_django.oauth_toolkit`; it has no tables."""

    name = "phone_verify_django.oauth_toolkit"
    label = "phone_verify_oauth_toolkit"
    verbose_name = _("OAuth sign-in by phone")

    def ready(self) -> None:
        """Refuse to start if clients cannot use the grants."""
        checks.register(complaints, "phone_verify")
        if not app_settings.is_lenient():
            for complaint in complaints():
                raise ImproperlyConfigured(f"{complaint.msg} {complaint.hint}")
        from .bearer import client_of

        oauth_clients.register(client_of)


def complaints(app_configs: Any = None, **_: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is missing or cannot work, and how to fix it."""
    if not apps.is_installed("oauth2_provider"):
        yield checks.Error(
            "phone_verify_django.oauth_toolkit requires django-oauth-toolkit.",
            hint="Add 'oauth2_provider' to INSTALLED_APPS.",
            id="phone_verify_oauth_toolkit.E001",
        )
        return
    from oauth2_provider.settings import oauth2_settings  # type: ignore[import-untyped]

    from .core import PhoneVerifyGrants
    from .grants import client_grants

    if not issubclass(oauth2_settings.OAUTH2_BACKEND_CLASS, PhoneVerifyGrants):
        yield checks.Error(
            "The token endpoint does not have our grants: OAUTH2_BACKEND_CLASS is not our backend.",
            hint=f"Set OAUTH2_PROVIDER['OAUTH2_BACKEND_CLASS'] = {BACKEND!r}, or a subclass of PhoneVerifyGrants.",
            id="phone_verify_oauth_toolkit.E002",
        )
    if START_SCOPE not in oauth2_settings.SCOPES:
        yield checks.Error(
            f"No client can start a verification: the scope {START_SCOPE} does not exist.",
            hint=f"Add {START_SCOPE!r}: 'Verify phone numbers' to OAUTH2_PROVIDER['SCOPES'].",
            id="phone_verify_oauth_toolkit.E003",
        )
    try:
        client_grants()
    except ConfigurationError as error:
        yield checks.Error(f"{error.problem}.", hint=error.advice, id="phone_verify_oauth_toolkit.E004")
    except ImproperlyConfigured:  # the settings of the site, which are reported elsewhere
        return
