"""Phone devices in the admin. Numbers are masked, and pending verifications are not shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.admin import user_model_search_fields

from ..masked_admin import MaskedAdmin
from .models import PhoneDevice


@admin.register(PhoneDevice)
class PhoneDeviceAdmin(MaskedAdmin):
    """Devices are found by their user's name. User and number are entered once, and shown masked."""

    list_display = ("owner", "name", "hint", "confirmed", "created_at", "last_used_at")
    list_filter = ("confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    raw_id_fields = ("user",)
    readonly_fields = ("owner", "hint", "created_at", "last_used_at", "throttling_failure_count")
    search_fields, search_help_text = user_model_search_fields([get_user_model().USERNAME_FIELD])

    def get_fields(self, request: HttpRequest, obj: PhoneDevice | None = None) -> Any:
        """Return the fields of a form: the number of a new device, the hint of an existing one."""
        if obj is None:
            return ("user", "name", "phone", "confirmed")
        return ("owner", "name", "hint", "confirmed", "created_at", "last_used_at", "throttling_failure_count")

    @admin.display(description=_("phone number"))
    def hint(self, device: PhoneDevice) -> str:
        """Return the masked number."""
        return device.number.hint
