"""The admin of services: Django imports this module at the start."""

from __future__ import annotations

from .keys_admin import AccessKeyAdmin
from .reports_admin import ReportAdmin
from .staff_admin import ServiceAdmin

__all__ = ["AccessKeyAdmin", "ReportAdmin", "ServiceAdmin"]
