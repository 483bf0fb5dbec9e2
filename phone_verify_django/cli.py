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
    try:
        with app_settings.lenient_startup():
            django.setup()
    except ConfigurationError as error:  # of a package of ours in INSTALLED_APPS
        return SiteTarget(None, [Finding(Level.ERROR, "", error.problem, error.advice, id="PV105")])
    if not apps.is_installed("phone_verify_django"):
        raise click.ClickException(f"{module}: {app_settings.app_is_missing()}")
    # Not at the top: they import models, which need `django.setup`.
    from .checks import as_finding, check_settings
    from .site import site_config

    try:
        given = site_config()
    except ConfigurationError as error:
        return SiteTarget(None, [Finding(Level.ERROR, "", error.problem, error.advice, id="PV105")])
    try:
        app_settings.read()
    except ImproperlyConfigured:  # the doctor reports each setting that cannot be read
        return SiteTarget(given)
    try:
        with app_settings.lenient_startup():  # the URLs are loaded here, and log what is reported below
            complaints = check_settings()
    except ImproperlyConfigured as error:  # one of Django's own settings
        return SiteTarget(given, [Finding(Level.ERROR, "", str(error), id="PV105")])
    if any(message.id == "phone_verify.E002" for message in complaints):
        given = replace(given, webhook_path=None)
    return SiteTarget(given, [as_finding(message) for message in complaints], _findings_of_users)


def _findings_of_users() -> Sequence[Finding]:
    # Not at the top: it imports models.
    from .checks import as_finding
    from .model_checks import check_model, unverified_rows

    return [as_finding(message) for message in (*check_model(), *unverified_rows())]
