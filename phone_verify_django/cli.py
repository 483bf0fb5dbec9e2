"""Load a Django project for `phone-verify --django`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import click
import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from phone_verify.cli.site_loader import SiteTarget
from phone_verify.doctor import Finding, Level
from phone_verify.errors import ConfigurationError

from . import app_settings


def load(module: str) -> SiteTarget:
    """Return the site of these settings. For an invalid `PHONE_VERIFY` the target holds the findings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = module
    sys.path.insert(0, os.getcwd())
    with app_settings.lenient_startup():
        django.setup()
    if not apps.is_installed("phone_verify_django"):
        raise click.ClickException(
            f"{module} does not install phone_verify: add 'phone_verify_django' to INSTALLED_APPS"
        )
    # Not at the top: they import models, which need `django.setup`.
    from .checks import as_finding, check_settings
    from .site import site_config

    try:
        given = site_config()
    except ConfigurationError as error:
        return SiteTarget(None, [Finding(Level.ERROR, "", str(error), id="PV105")])
    try:
        app_settings.read()
    except ImproperlyConfigured:  # the doctor reports each setting that cannot be read
        return SiteTarget(given)
    try:
        errors = [message for message in check_settings() if message.is_serious()]
    except ImproperlyConfigured as error:  # one of Django's own settings
        return SiteTarget(given, [Finding(Level.ERROR, "", str(error), id="PV105")])
    if any(message.id == "phone_verify.E002" for message in errors):
        given = replace(given, webhook_path=None)
    return SiteTarget(given, [as_finding(message) for message in errors], _findings_of_users)


def _findings_of_users() -> Sequence[Finding]:
    # Not at the top: it imports models.
    from .checks import as_finding
    from .model_checks import check_model, unverified_rows

    return [as_finding(message) for message in (*check_model(), *unverified_rows())]
