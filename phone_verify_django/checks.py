"""What `manage.py check` says of the settings. What cannot work at all has been refused at start-up already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks

from phone_verify.errors import ConfigurationError

from . import accounts, conf


@checks.register("phone_verify")
def check_settings(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Every complaint about the settings."""
    return list(_complaints())


def _complaints() -> Iterator[checks.CheckMessage]:
    settings = conf.read()
    dsns = [dsn for texts in settings.dsns.values() for dsn in texts]
    keys = settings.secret_keys or conf.framework_keys()
    if accounts.backend_missing():
        yield checks.Error(
            "Nobody can sign in by phone: AUTHENTICATION_BACKENDS does not name our backend.",
            hint="Add 'phone_verify_django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS, "
            "beside 'django.contrib.auth.backends.ModelBackend' if passwords are to work too.",
            id="phone_verify.E001",
        )
    if settings.public_url is not None and not _mounted():
        yield checks.Error(
            "Providers cannot be told where to call this site: our URLs are not included.",
            hint="Write path('phone/', include('phone_verify_django.urls')) in your root URLconf, "
            "outside of other namespaces.",
            id="phone_verify.E002",
        )
    if not dsns:
        yield checks.Warning(
            "No channel is configured: every start is answered with 503.",
            hint="Set PHONE_VERIFY = {'sms': 'console://'} for development, or the environment variable "
            "PHONE_VERIFY_SMS to the DSN of a provider.",
            id="phone_verify.W001",
        )
    if not conf.debug() and any(dsn.startswith(("console://", "sandbox://")) for dsn in dsns):
        yield checks.Warning(
            "A driver for development carries codes while DEBUG is False: they reach no phone.",
            hint="Replace console:// and sandbox:// in PHONE_VERIFY by the DSN of a provider.",
            id="phone_verify.W002",
        )
    if (settings.store or conf.DEFAULT_STORE).startswith("memory:"):
        yield checks.Warning(
            "Verifications are kept in the memory of one process.",
            hint="Leave PHONE_VERIFY['store'] out, or set it to 'orm:' or the URL of a database: with several "
            "processes the memory store answers 503.",
            id="phone_verify.W003",
        )
    if settings.tag_key is None and len(keys) > 1:
        yield checks.Warning(
            "Several secret keys are listed and PHONE_VERIFY['tag_key'] is not set: when the last key is dropped, "
            "counters and verifications of every phone are lost.",
            hint="Set PHONE_VERIFY['tag_key'] to the present last secret key, before the list is first shortened.",
            id="phone_verify.W004",
        )


def _mounted() -> bool:
    try:
        conf.webhook_path("driver", "secret")
    except ConfigurationError:
        return False
    return True
