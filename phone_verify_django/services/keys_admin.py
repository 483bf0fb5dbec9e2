"""The admin of access keys: created once shown, listed without their secrets, and revoked."""

from __future__ import annotations

import logging
import os
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from phone_verify import Channel, StoreError
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import texts_in
from phone_verify.keys.access_key import AccessKey
from phone_verify.keys.orders import KeyOrderError, make_key, read_order
from phone_verify.keys.rows import key_of, row_of
from phone_verify.keys.text import is_key_id, new_id
from phone_verify.services.listing import has_service
from phone_verify.sync import run

from .. import admin_display, staff_pages
from ..masked_admin import MaskedAdmin
from ..site import current_site
from .keys_store import OrmKeyStore
from .models import AccessKeyRow
from .opening import ledger_alias

log = logging.getLogger("phone_verify")

_REVOKE = "phone_verify_services.change_accesskeyrow"


class _Order(forms.Form):
    """The fields of a new key. `id` is fixed with the form, so that sending it twice makes one key."""

    id = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(label=_("Name"), max_length=64, help_text=_("The program that uses the key."))
    service = forms.CharField(label=_("Service"), max_length=32, initial="default")
    networks = forms.CharField(
        label=_("Addresses"),
        required=False,
        max_length=1000,
        help_text=_("Addresses and ranges that may use it, separated by spaces. Empty: all."),
        widget=forms.TextInput(attrs={"class": "vTextField", "dir": "ltr"}),
    )
    channels = forms.MultipleChoiceField(
        label=_("Channels"),
        required=False,
        help_text=_("None selected: all."),
        widget=forms.CheckboxSelectMultiple,
        choices=[(channel.value, admin_display.CHANNELS[channel.value]) for channel in Channel],
    )
    expires = forms.DateField(
        label=_("Last day"), required=False, help_text=_("In UTC. Empty: until it is revoked."), widget=AdminDateWidget
    )

    def clean_id(self) -> str:
        """Return the id if it is one."""
        id: str = self.cleaned_data["id"]
        if not is_key_id(id):
            raise forms.ValidationError("")
        return id


class _ServiceFilter(admin.AllValuesFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("Service")


@admin.register(AccessKeyRow)
class AccessKeyAdmin(MaskedAdmin):
    """Access keys in Django's database. Without `PHONE_VERIFY["ledger"]` on `orm:` they are not used, and not shown."""

    list_display = ("hint", "title", "of_service", "state", "limits", "created", "last_used")
    list_filter = (("service", _ServiceFilter),)
    ordering = ("-created_at", "id")
    sortable_by = ()
    fields = (
        "hint", "title", "of_service", "state", "limits", "created", "author", "expires", "revoked", "last_used",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows of the database that the site uses."""
        rows: models.QuerySet[Any] = super().get_queryset(request).using(ledger_alias())
        return rows

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list, with the links to the other pages of staff."""
        context = {"staff_parts": staff_pages.parts(self, request, "keys"), **(extra_context or {})}
        return super().changelist_view(request, context)

    @sensitive_variables()
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Show the form, or create the key and show its text: only in this response, which is not cached."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = _Order(request.POST) if request.method == "POST" else _Order(initial={"id": new_id(os.urandom)})
        text = self._created(request, form) if form.is_bound and form.is_valid() else ""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Access key") if text else _("Add access key"),
            "form": form,
            "text": text,
            "media": self.media + form.media,
            "staff_parts": staff_pages.parts(self, request, "keys"),
        }
        response = TemplateResponse(request, "admin/phone_verify_services/add_access_key.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    @sensitive_variables()
    def _created(self, request: HttpRequest, form: _Order) -> str:
        """Return the text of the new key; or empty, with errors in the form or a message."""
        given, now = form.cleaned_data, datetime.now(UTC)
        last_day: date | None = given["expires"]
        try:
            order = read_order(
                name=given["name"],
                service=given["service"],
                networks=given["networks"],
                channels=" ".join(given["channels"]),
                expires=last_day.isoformat() if last_day else "",
                created_by=f"user {request.user.pk}",
                now=now,
                has_service=partial(has_service, current_site().services),
            )
        except StoreError as error:
            return self._not_created(form, error)
        except KeyOrderError as refusal:
            texts = texts_in(named(get_language() or "") or ENGLISH)
            for name, why in refusal.errors.items():
                form.add_error(name, texts.fault(why))
            return ""
        new = make_key(order, os.urandom, now, id=given["id"])
        try:
            added = run(_store().add(new.key))
        except StoreError as error:
            return self._not_created(form, error)
        if not added:
            form.add_error(None, _("This key was created already. Revoke it if its text was not copied."))
            return ""
        self.log_addition(request, AccessKeyRow(**row_of(new.key)), "Created.")
        return str(new.text)

    def _not_created(self, form: _Order, error: StoreError) -> str:
        log.error("an access key could not be created in the admin: %s", error)
        form.add_error(None, _("The store is unavailable."))
        return ""

    @admin.action(description=_("Revoke selected access keys"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Revoke the keys, immediately on every worker."""
        store, revoked = _store(), 0
        try:
            for row in queryset:
                if run(store.revoke(row.pk, datetime.now(UTC))):
                    revoked += 1
                    self.log_change(request, row, "Revoked.")
        except StoreError as error:
            log.error("an access key could not be revoked in the admin: %s", error)
            messages.error(request, _("The store is unavailable."))
        messages.success(
            request, ngettext("%d access key was revoked.", "%d access keys were revoked.", revoked) % revoked
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may see the keys, and the site uses these."""
        return ledger_alias() is not None and super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add keys (Django's permission), and the site uses these."""
        return ledger_alias() is not None and super().has_add_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may view or revoke them, and the site uses these."""
        may_view = super().has_view_permission(request, obj) or self.has_revoke_permission(request)
        return ledger_alias() is not None and may_view

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change access keys (Django's permission)."""
        return bool(request.user.has_perm(_REVOKE))

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a key is revoked by the action, and never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a revoked key stays in the list, which names it in reports."""
        return False

    @admin.display(description=_("access key"))
    def hint(self, row: AccessKeyRow) -> str:
        """Return the part of the text that may be shown."""
        return format_html('<bdi dir="ltr">{}</bdi>', str(row))

    @admin.display(description=_("Name"))
    def title(self, row: AccessKeyRow) -> str:
        """Return the name of the program that uses it."""
        return str(row.name)

    @admin.display(description=_("Service"))
    def of_service(self, row: AccessKeyRow) -> str:
        """Return the service that it is for."""
        return str(row.service)

    @admin.display(description=_("state"))
    def state(self, row: AccessKeyRow) -> str:
        """Return whether it may be used."""
        key = _key(row)
        if key.revoked_at is not None:
            return str(_("Revoked"))
        return str(_("Valid") if key.is_usable(datetime.now(UTC)) else _("Expired"))

    @admin.display(description=_("limited to"))
    def limits(self, row: AccessKeyRow) -> str:
        """Return its channels and addresses."""
        channels = ", ".join(str(admin_display.CHANNELS.get(name, name)) for name in row.channels.split())
        return format_html('{} <bdi dir="ltr">{}</bdi>', channels, ", ".join(row.networks.split())) or "–"

    @admin.display(description=_("created"))
    def created(self, row: AccessKeyRow) -> str:
        """Return when it was created."""
        return admin_display.time_of_micros(row.created_at)

    @admin.display(description=_("created by"))
    def author(self, row: AccessKeyRow) -> str:
        """Return the user or the command that created it."""
        return row.created_by or "–"

    @admin.display(description=_("expires"))
    def expires(self, row: AccessKeyRow) -> str:
        """Return when it expires."""
        return _time(row.expires_at)

    @admin.display(description=_("revoked"))
    def revoked(self, row: AccessKeyRow) -> str:
        """Return when it was revoked."""
        return _time(row.revoked_at)

    @admin.display(description=_("last used"))
    def last_used(self, row: AccessKeyRow) -> str:
        """Return when it was last used, to five minutes."""
        return _time(row.last_used_at)


def _store() -> OrmKeyStore:
    alias = ledger_alias()
    if alias is None:
        raise PermissionDenied
    return OrmKeyStore(alias)


def _key(row: AccessKeyRow) -> AccessKey:
    return key_of({field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})


def _time(at: int | None) -> str:
    return "–" if at is None else admin_display.time_of_micros(at)
