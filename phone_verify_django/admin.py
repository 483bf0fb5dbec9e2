"""The admin of verifications and verified phones. Numbers are masked; digests and secrets are not shown.

A full number is searched for by POST and found by its tag, so it never appears in an address or a server log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from phone_verify import InvalidPhoneError, PhoneNumber, Status, StoreError

from . import accounts, admin_display, phones, unlock
from .masked_admin import MaskedAdmin, has_visible_user
from .models import VerificationRow, VerifiedPhone
from .site import current_site, orm_alias
from .view_rules import outside_transactions

_OPEN = (Status.PENDING, Status.SENT)
_SEND, _CHANGE = "phone_verify_django.add_verificationrow", "phone_verify_django.change_verificationrow"
_SET_PRIMARY = "phone_verify_django.change_verifiedphone"


class _NumberSearchAdmin(MaskedAdmin):
    """A list whose search box accepts a full number."""

    sortable_by = ()
    show_full_result_count = False

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("phone_verify/admin.css",)}

    def get_urls(self) -> list[URLPattern]:
        """Return our URLs and the admin's, all outside of the request's transaction, which the store must not join."""
        search = path("search/", self.admin_site.admin_view(self.search), name=f"{self._url_prefix}_search")
        urls: list[URLPattern] = [search, *self.extra_urls(), *super().get_urls()]
        for url in urls:
            url.callback = outside_transactions(url.callback)
        return urls

    def extra_urls(self) -> list[URLPattern]:
        """Return further URLs below the list."""
        return []

    @method_decorator([require_POST, sensitive_post_parameters("number")])
    def search(self, request: HttpRequest) -> HttpResponse:
        """Redirect to the list of rows with this number."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        text = request.POST.get("number", "").strip()
        try:
            phone = self._number_typed(request, text)
        except InvalidPhoneError as error:
            params = self.params_for_text(text)
            if params is None:
                messages.error(request, str(error))
        else:
            params = self.params_for_number(phone)
        return HttpResponseRedirect(f"../?{urlencode(params)}" if params else "../")

    def params_for_number(self, phone: PhoneNumber) -> dict[str, str]:
        """Return the query parameters that list the rows of this number."""
        raise NotImplementedError

    def has_rows(self, request: HttpRequest, phone: PhoneNumber) -> bool:
        """Return whether there are rows of this number."""
        raise NotImplementedError

    def params_for_text(self, text: str) -> dict[str, str] | None:
        """Return the query parameters for other text; None if only numbers can be searched for."""
        return None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: numbers are verified, not entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False."""
        return False

    def _number_typed(self, request: HttpRequest, text: str) -> PhoneNumber:
        """Return the number; one that today's numbering plan does not contain only if it is stored."""
        region = current_site().verifier.policy.region
        phone = PhoneNumber.lookup(text, region)
        if phone.current.is_valid or self.has_rows(request, phone):
            return phone
        return PhoneNumber.parse(text, region)  # raises

    @property
    def _url_prefix(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"


class _StateFilter(admin.SimpleListFilter):
    """Filter by the current state: rows stored as open may have expired."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        final = [status.value for status in Status if status not in _OPEN]
        return [("open", _("Open")), *((status, admin_display.STATES[status]) for status in final)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        now = _micros(_now())
        match self.value():
            case None:
                return queryset
            case "open":
                return queryset.filter(status__in=_OPEN, expires_at__gt=now)
            case Status.EXPIRED:
                expired = models.Q(status__in=_OPEN, expires_at__lte=now)
                return queryset.filter(expired | models.Q(status=Status.EXPIRED))
            case state:
                return queryset.filter(status=state)


class _ChannelFilter(admin.SimpleListFilter):
    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(admin_display.CHANNELS.items())

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class _TimeFilter(admin.SimpleListFilter):
    """Filter by the expiry, which is indexed, and the start, which is a few minutes earlier."""

    title = _("time")
    parameter_name = "within"
    _SPANS = (("600", _("last 10 minutes")), ("3600", _("last hour")), ("86400", _("last day")))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(self._SPANS)

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        if self.value() not in dict(self._SPANS):
            return queryset
        since = _micros(_now() - timedelta(seconds=int(self.value() or 0)))
        return queryset.filter(expires_at__gt=since, created_at__gt=since)


class _PurposeFilter(admin.AllValuesFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("purpose")


class _ProviderFilter(admin.AllValuesFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("provider")


@admin.register(VerificationRow)
class VerificationAdmin(_NumberSearchAdmin):
    """Verifications in the store, which are kept for a day after they expire."""

    list_display = ("hint", "state", "channel_name", "provider", "used_for", "started", "sent", "attempts", "reason")
    list_filter = (_StateFilter, _ChannelFilter, _TimeFilter, ("purpose", _PurposeFilter), ("driver", _ProviderFilter))
    ordering = ("-created_at", "pk")
    fields = (
        *("hint", "state", "reason", "used_for", "channel_name", "provider", "code_by"),
        *("digits", "short_code", "attempts", "started", "expires", "closed"),
        *("sent", "resend", "language", "proof_used"),
    )
    readonly_fields = fields
    actions = ("cancel",)
    allowed_lookups: ClassVar[Mapping[str, re.Pattern[str]]] = {"tag": re.compile(r"[\w-]{1,22}", re.ASCII)}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows of Django's own store, in its database; none for another store."""
        alias = orm_alias()
        if alias is None:
            return super().get_queryset(request).none()
        return super().get_queryset(request).using(alias)

    def extra_urls(self) -> list[URLPattern]:
        """Return the pages that send a test and unlock a number."""
        pages = {"send_test": self.send_test, "unlock": self.unlock}
        return [
            path(f"{name.replace('_', '-')}/", self.admin_site.admin_view(view), name=f"{self._url_prefix}_{name}")
            for name, view in pages.items()
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with a message if the store cannot be listed."""
        if orm_alias() is None:
            messages.info(request, _("Verifications are stored outside Django's database and can't be listed here."))
        may = {"may_send": self.has_send_permission(request), "may_unlock": self.has_cancel_permission(request)}
        return super().changelist_view(request, {**may, **(extra_context or {})})

    @method_decorator(sensitive_post_parameters("number", "code"))
    def send_test(self, request: HttpRequest) -> HttpResponseBase:
        """Send a test: start a verification and follow it, among the pages of staff if the site has services."""
        if not self.has_send_permission(request):
            raise PermissionDenied
        # A site that opens no page of staff loads nothing of them.
        from . import staff_pages

        here, page = request.path, staff_pages.address(self, "test/", {})
        return HttpResponseRedirect(page) if page != here else staff_pages.show(self, request, "test/")

    @method_decorator(sensitive_post_parameters("number"))
    def unlock(self, request: HttpRequest) -> HttpResponse:
        """Reset the wrong answers of a number and remove their locks, for staff who may change verifications."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        return unlock.view(request, {**self.admin_site.each_context(request), "opts": self.opts})

    @admin.action(description=_("Cancel selected open verifications"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Cancel open verifications, so that their codes are refused from now on."""
        cancelled = 0
        try:
            for row in queryset.filter(status__in=_OPEN):
                if current_site().verifier.cancel_by_id(row.pk):
                    cancelled += 1
                    self.log_change(request, row, "Cancelled.")
        except StoreError as error:
            messages.error(request, str(error))
        text = ngettext("%d verification was cancelled.", "%d verifications were cancelled.", cancelled)
        messages.success(request, text % cancelled)

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add verifications (Django's permission)."""
        return bool(request.user.has_perm(_SEND))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change verifications."""
        return bool(request.user.has_perm(_CHANGE))

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may view or change them."""
        return super().has_view_permission(request, obj) or self.has_cancel_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: expired rows are purged, and `phone_verify_erase` deletes those of one number."""
        return False

    def params_for_number(self, phone: PhoneNumber) -> dict[str, str]:
        """Return the tag as parameter."""
        return {"tag": current_site().verifier.tag(phone)}

    def has_rows(self, request: HttpRequest, phone: PhoneNumber) -> bool:
        """Return whether a verification has the tag of this number."""
        return self.get_queryset(request).filter(tag=current_site().verifier.tag(phone)).exists()

    @admin.display(description=_("phone number"))
    def hint(self, row: VerificationRow) -> str:
        """Return the masked number."""
        return admin_display.number(row.phone)

    @admin.display(description=_("state"))
    def state(self, row: VerificationRow) -> str:
        """Return the current state."""
        return admin_display.state_badge(_state(row))

    @admin.display(description=_("why it failed"))
    def reason(self, row: VerificationRow) -> str:
        """Return why it ended without success; empty while it is open, and if it succeeded."""
        return admin_display.reason(_state(row), row.code_source)

    @admin.display(description=_("channel"))
    def channel_name(self, row: VerificationRow) -> str:
        """Return the channel in words."""
        return str(admin_display.CHANNELS.get(row.channel, row.channel))

    @admin.display(description=_("provider"))
    def provider(self, row: VerificationRow) -> str:
        """Return the name of the driver."""
        return row.driver

    @admin.display(description=_("purpose"))
    def used_for(self, row: VerificationRow) -> str:
        """Return the purpose."""
        return row.purpose

    @admin.display(description=_("code created by"))
    def code_by(self, row: VerificationRow) -> str:
        """Return who creates the code."""
        return str(admin_display.CODE_SOURCES.get(row.code_source, row.code_source))

    @admin.display(description=_("digits of the code"))
    def digits(self, row: VerificationRow) -> str:
        """Return the length of the code, if it is known in advance."""
        return "–" if row.code_length is None else str(row.code_length)

    @admin.display(description=_("short code"))
    def short_code(self, row: VerificationRow) -> str:
        """Return whether the stricter limits of short codes apply."""
        return admin_display.yes(row.short)

    @admin.display(description=_("attempts left"))
    def attempts(self, row: VerificationRow) -> int:
        """Return how many codes can still be entered."""
        return row.attempts_left

    @admin.display(description=_("started"))
    def started(self, row: VerificationRow) -> str:
        """Return the time of the start."""
        return admin_display.time_of_micros(row.created_at)

    @admin.display(description=_("expires"))
    def expires(self, row: VerificationRow) -> str:
        """Return the time of expiry."""
        return admin_display.time_of_micros(row.expires_at)

    @admin.display(description=_("closed"))
    def closed(self, row: VerificationRow) -> str:
        """Return the time of verification or of another end; a dash while open."""
        return "–" if row.closed_at is None else admin_display.time_of_micros(row.closed_at)

    @admin.display(description=_("messages or calls"))
    def sent(self, row: VerificationRow) -> int:
        """Return how many were ordered, the first included."""
        return row.sends

    @admin.display(description=_("resend available at"))
    def resend(self, row: VerificationRow) -> str:
        """Return when the message can be sent again."""
        return admin_display.time_of_micros(row.resend_at)

    @admin.display(description=_("language"))
    def language(self, row: VerificationRow) -> str:
        """Return the language tag of the message."""
        return row.locale or "–"

    @admin.display(description=_("proof used"))
    def proof_used(self, row: VerificationRow) -> str:
        """Return whether the proof was redeemed."""
        return admin_display.yes(row.redeemed)


class _VerifiedPhoneColumns:
    """The columns of a verified number, in its list and on the page of its user."""

    @admin.display(description=_("phone number"))
    def hint(self, phone: VerifiedPhone) -> str:
        """Return the masked number."""
        return admin_display.number(phone.phone)

    @admin.display(description=_("primary"))
    def primary(self, phone: VerifiedPhone) -> str:
        """Return whether it is its user's primary number."""
        return admin_display.yes(phone.is_primary)

    @admin.display(description=_("used for sign-in"))
    def login(self, phone: VerifiedPhone) -> str:
        """Return whether the number signs in this user."""
        return admin_display.yes(phone.login_phone is not None)

    @admin.display(description=_("verified"))
    def verified(self, phone: VerifiedPhone) -> str:
        """Return when the user last verified the number."""
        return admin_display.time(phone.verified_at)


class VerifiedPhoneInline(_VerifiedPhoneColumns, admin.TabularInline):  # type: ignore[type-arg]
    """The verified numbers on the page of their user, masked and read-only: `inlines = [VerifiedPhoneInline]`."""

    model = VerifiedPhone
    fields = ("hint", "primary", "login", "verified")
    readonly_fields = fields
    ordering = ("-is_primary", "-verified_at")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: numbers are verified, not entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False


@admin.register(VerifiedPhone)
class VerifiedPhoneAdmin(_VerifiedPhoneColumns, _NumberSearchAdmin):
    """Verified numbers of users. They can be removed here, but only a verification adds one."""

    list_display = ("hint", "owner", "primary", "login", "verified")
    list_select_related = ("user",)
    ordering = ("-verified_at",)
    fields = ("owner", "hint", "primary", "login", "verified")
    readonly_fields = fields
    actions = ("make_primary",)
    allowed_lookups: ClassVar[Mapping[str, re.Pattern[str]]] = {"id__in": re.compile(r"[0-9]{1,18}(,[0-9]{1,18})*")}

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the username field, which Django searches for text other than a number."""
        return [f"user__{get_user_model().USERNAME_FIELD}"]

    @admin.action(description=_("Set as primary number"), permissions=["set_primary"])
    def make_primary(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Set the primary number; of several selected numbers of one user the newest."""
        changed = 0
        rows = queryset.filter(has_visible_user=True).select_related("user")
        chosen = {row.user_id: row for row in rows.order_by("verified_at", "pk")}
        for row in chosen.values():
            if accounts.make_primary(row.user, row.phone, request):
                changed += 1
                self.log_change(request, row, "Made primary.")
        messages.success(
            request, ngettext("%d number is primary now.", "%d numbers are primary now.", changed) % changed
        )

    def delete_model(self, request: HttpRequest, obj: VerifiedPhone) -> None:
        """Remove the number and send the signals. Unlike users, staff may remove the last one."""
        _remove(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Remove several numbers."""
        for row in queryset.select_related("user"):
            _remove(request, row)

    def has_set_primary_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change verified phones (Django's permission)."""
        return bool(request.user.has_perm(_SET_PRIMARY))

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return whether the user may view or change them."""
        return super().has_view_permission(request, obj) or self.has_set_primary_permission(request)

    def params_for_number(self, phone: PhoneNumber) -> dict[str, str]:
        """Return the primary keys of the rows as parameter."""
        keys = VerifiedPhone.objects.filter(phone__in=phone.forms).values_list("pk", flat=True)
        return {"id__in": ",".join(map(str, keys)) or "0"}

    def has_rows(self, request: HttpRequest, phone: PhoneNumber) -> bool:
        """Return whether a user has this number."""
        return VerifiedPhone.objects.filter(phone__in=phone.forms).exists()

    def params_for_text(self, text: str) -> dict[str, str] | None:
        """Return a search for text with letters; a mistyped number must not appear in an address."""
        return {"q": text} if any(letter.isalpha() for letter in text) else None


def _remove(request: HttpRequest, row: Any) -> None:
    """Remove this number from its user. A hidden user loses it too, and no signal is sent."""
    if has_visible_user(row):
        phones.remove(request, row.user, row.phone)
    else:
        row.delete()


def _now() -> datetime:
    return datetime.now(UTC)


def _micros(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000)


def _state(row: VerificationRow) -> str:
    """Return the current state: rows stored as open may have expired."""
    expired = row.status in _OPEN and row.expires_at <= _micros(_now())
    return Status.EXPIRED.value if expired else row.status
