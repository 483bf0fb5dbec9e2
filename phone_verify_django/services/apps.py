"""The app configuration of services, a separate app so that its tables are optional."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PhoneVerifyServicesConfig(AppConfig):
    """`phone_verify_django.services`; its tables are named `phone_verify_services_…`."""

    name = "phone_verify_django.services"
    label = "phone_verify_services"
    verbose_name = _("Verification services")
    default_auto_field = "django.db.models.BigAutoField"
