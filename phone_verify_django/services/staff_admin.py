"""Services in the admin, and what belongs to them: accounts, deliveries of webhooks and tests."""

from __future__ import annotations

from django.contrib import admin
from django.db import models
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from phone_verify.staff.call import Right

from .. import staff_pages
from ..site import current_site
from ..view_rules import outside_transactions
from .models import ServiceRow


@admin.register(ServiceRow)
class ServiceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Services and what belongs to them. Access keys have their own list in the admin, and so have reports."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the pages, outside of the request's transaction, which no store must join."""
        view = outside_transactions(self.admin_site.admin_view(self.page))
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", view, name=f"{name}_changelist"),
            path("services/add/", view, {"path": "services/add/"}, name=f"{name}_add"),
            path("services/<str:object_id>/", view, name=f"{name}_change"),
            path("<path:path>", view, name=f"{name}_page"),
        ]

    @method_decorator(sensitive_post_parameters())
    def page(self, request: HttpRequest, path: str = "", object_id: str = "") -> HttpResponseBase:
        """Show a page of staff, or perform its form."""
        path = f"services/{object_id}/" if object_id else path
        if not _has_services():
            raise Http404
        if path.startswith(("keys/", "reports/")):
            return HttpResponseRedirect(staff_pages.address(self, path, {}))
        return staff_pages.show(self, request, path, lambda name: ServiceRow(name=name))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user has any right on the pages, and the site has services."""
        elsewhere = (Right.KEYS, Right.REPORTS)
        return any(staff_pages.may(request, right) for right in Right if right not in elsewhere) and _has_services()

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may see the pages."""
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may create services as rows."""
        services = current_site().services
        return staff_pages.may(request, Right.ADD) and services is not None and services.rows is not None

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may change services."""
        return staff_pages.may(request, Right.CHANGE) and _has_services()

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may delete services."""
        return staff_pages.may(request, Right.DELETE) and _has_services()


def _has_services() -> bool:
    return current_site().services is not None
