"""Reports in the admin site."""

from __future__ import annotations

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, re_path

from phone_verify.staff.call import Right

from .. import app_settings, staff_pages
from ..view_rules import outside_transactions
from .models import Quarter


@admin.register(Quarter)
class ReportAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Reports, for staff who may view attempts. Without `PHONE_VERIFY["ledger"]` there are none."""

    def get_urls(self) -> list[URLPattern]:
        """Return the pages and files of reports, in place of a list of rows."""
        view = outside_transactions(self.admin_site.admin_view(self.report))
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", view, name=name), re_path("^(?P<path>.+)$", view)]

    def report(self, request: HttpRequest, path: str = "") -> HttpResponseBase:
        """Show a page, or send a file."""
        return staff_pages.show(self, request, f"reports/{path}")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may see reports, and the site has them."""
        return app_settings.read().ledger is not None and self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may view attempts (Django's permission)."""
        return staff_pages.may(request, Right.REPORTS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: reports are read."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False."""
        return False
