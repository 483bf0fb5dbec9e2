"""Requirements of sign-in by phone on a site with django-allauth, with or without our bridge."""

from __future__ import annotations

from collections.abc import Iterator

import allauth  # type: ignore[import-untyped]
from allauth import app_settings as allauth_settings
from django.apps import apps
from django.core import checks
from django.urls import NoReverseMatch, reverse

#: The first version whose record of login steps names the user.
OLDEST = (65, 14)
TOO_OLD = (
    f"django-allauth {allauth.__version__} is too old for sign-in by phone: its login stages, which require a second "
    "factor, cannot be used."
)
UPGRADE = "Install django-allauth 65.14 or newer: pip install 'phone-verify[allauth]'."


def is_too_old() -> bool:
    """Return whether this version of django-allauth lacks what sign-in through its stages needs."""
    return tuple(allauth.VERSION[:2]) < OLDEST


def complaints() -> Iterator[checks.CheckMessage]:
    """Yield what is missing or cannot work, and how to fix it."""
    if is_too_old():
        yield checks.Error(TOO_OLD, hint=UPGRADE, id="phone_verify.E006")
        return
    needed = ["account_login"] + ["mfa_authenticate"] * apps.is_installed("allauth.mfa")
    missing = [name for name in needed if not _has_page(name)]
    if not missing:
        return
    says = "Users whose sign-in needs a further step of django-allauth cannot complete it on a page"
    if allauth_settings.HEADLESS_ONLY:
        yield checks.Warning(
            f"{says}, because HEADLESS_ONLY is on: the pages of phone_verify refuse them.",
            hint="Let them sign in with POST v1/session and complete the step with allauth.headless, or remove "
            "HEADLESS_ONLY.",
            id="phone_verify.W008",
        )
    else:
        yield checks.Error(
            f"{says}: there is no URL named {', '.join(missing)}.",
            hint="Add path('accounts/', include('allauth.urls')) to your root URLconf.",
            id="phone_verify.E007",
        )


def _has_page(name: str) -> bool:
    try:
        reverse(name)
    except NoReverseMatch:
        return False
    return True
