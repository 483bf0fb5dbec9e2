"""Phone devices in the admin. Numbers are masked, and of a verification under way nothing is shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.admin import user_model_search_fields

from .models import PhoneDevice


@admin.register(PhoneDevice)
class PhoneDeviceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Devices are found by their user. The number is typed once, and afterwards shown by its hint."""

    list_display = ("user", "name", "hint", "confirmed", "created_at", "last_used_at")
    list_filter = ("confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    raw_id_fields = ("user",)
    readonly_fields = ("hint", "created_at", "last_used_at", "throttling_failure_count")
    search_fields, search_help_text = user_model_search_fields([get_user_model().USERNAME_FIELD, "email"])

    def get_fields(self, request: HttpRequest, obj: PhoneDevice | None = None) -> Any:
        """A new device has its number, an old one the hint of it."""
        if obj is None:
            return ("user", "name", "phone", "confirmed")
        return ("user", "name", "hint", "confirmed", "created_at", "last_used_at", "throttling_failure_count")

    @admin.display(description=_("phone number"))
    def hint(self, device: PhoneDevice) -> str:
        """As much of the number as may be shown."""
        return device.number.hint
