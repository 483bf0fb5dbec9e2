"""The admin: verifications and verified phones, to be looked at. Numbers are masked, digests and secrets not shown.

A full number is searched for by POST and found by its tag, so that it stands in no address and no server's log.
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
from django.db import connections, models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from phone_verify import Channel, InvalidPhoneError, PhoneNumber, Status, StoreError

from . import accounts, admin_send, app_settings, phones, unlock
from .masked_admin import MaskedAdmin
from .models import VerificationRow, VerifiedPhone
from .site import current_site

_OPEN = (Status.PENDING, Status.SENT)
_SEND, _CHANGE = "phone_verify.add_verificationrow", "phone_verify.change_verificationrow"
_PREFER = "phone_verify.change_verifiedphone"


class _FoundByNumber(MaskedAdmin):
    """A list whose search box takes a full number."""

    sortable_by = ()
    show_full_result_count = False

    def get_urls(self) -> list[URLPattern]:
        """Ours beside the admin's. What a store's step has written is not for the request's transaction to undo."""
        own = [path("search/", self.admin_site.admin_view(self.search), name=f"{self._place}_search"), *self.own_urls()]
        urls: list[URLPattern] = [*own, *super().get_urls()]
        for url in urls:
            for alias in connections:
                transaction.non_atomic_requests(using=alias)(url.callback)
        return urls

    def own_urls(self) -> list[URLPattern]:
        """What else there is below the list."""
        return []

    @method_decorator([require_POST, sensitive_post_parameters("number")])
    def search(self, request: HttpRequest) -> HttpResponse:
        """Go to what is known of the number that was typed."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        typed = request.POST.get("number", "").strip()
        try:
            phone = PhoneNumber.parse(typed, current_site().verifier.policy.region)
        except InvalidPhoneError as error:
            found = self.found_otherwise(typed)
            if found is None:
                messages.error(request, str(error))
        else:
            found = self.found_by(phone)
        return HttpResponseRedirect(f"../?{urlencode(found)}" if found else "../")

    def found_by(self, phone: PhoneNumber) -> dict[str, str]:
        """The list's parameters that show what belongs to this phone."""
        raise NotImplementedError

    def found_otherwise(self, typed: str) -> dict[str, str] | None:
        """The same for what is no number; None where only numbers can be searched for."""
        return None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: a number is proven, not entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody."""
        return False

    @property
    def _place(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"


class _State(admin.SimpleListFilter):
    """By the state that holds now: what is stored as open may be over."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        final = [status for status in Status if status not in _OPEN]
        return [("open", "open"), *((status.value, status.value) for status in final)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        now = _micros(_now())
        match self.value():
            case None:
                return queryset
            case "open":
                return queryset.filter(status__in=_OPEN, expires_at__gt=now)
            case Status.EXPIRED:
                late = models.Q(status__in=_OPEN, expires_at__lte=now)
                return queryset.filter(late | models.Q(status=Status.EXPIRED))
            case state:
                return queryset.filter(status=state)


class _Way(admin.SimpleListFilter):
    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(channel.value, channel.value) for channel in Channel]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


class _Ended(admin.SimpleListFilter):
    """By the end of a verification's life, which is indexed; its beginning is a few minutes before."""

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


@admin.register(VerificationRow)
class VerificationAdmin(_FoundByNumber):
    """Verifications as the store keeps them: for a day after their life."""

    list_display = ("hint", "state", "channel", "driver", "purpose", "begun", "sends", "attempts_left")
    list_filter = (_State, _Way, _Ended, "purpose", "driver")
    ordering = ("-expires_at",)
    fields = (
        *("hint", "state", "purpose", "service", "channel", "driver", "holder"),
        *("code_length", "short", "attempts_left", "begun", "ends", "closed"),
        *("sends", "resend", "locale", "redeemed"),
    )
    readonly_fields = ("hint", "state", "begun", "ends", "closed", "resend")
    actions = ("end",)
    own_lookups: ClassVar[Mapping[str, re.Pattern[str]]] = {"tag": re.compile(r"[\w-]{1,22}", re.ASCII)}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows of Django's own store, in its database; none where the site has another store."""
        alias = app_settings.orm_alias()
        if alias is None:
            return super().get_queryset(request).none()
        return super().get_queryset(request).using(alias)

    def own_urls(self) -> list[URLPattern]:
        """Return the pages that send a test and unlock a number."""
        pages = {"send_test": self.send_test, "unlock": self.unlock}
        return [
            path(f"{name.replace('_', '-')}/", self.admin_site.admin_view(view), name=f"{self._place}_{name}")
            for name, view in pages.items()
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; says so where the store cannot be listed."""
        if app_settings.orm_alias() is None:
            messages.info(request, _("This site keeps its verifications elsewhere: only Django's own store is listed."))
        may = {"may_send": self.has_send_permission(request), "may_unlock": self.has_end_permission(request)}
        return super().changelist_view(request, {**may, **(extra_context or {})})

    @method_decorator(sensitive_post_parameters("number", "code"))
    def send_test(self, request: HttpRequest) -> HttpResponse:
        """Start a verification by hand, and see how it goes."""
        if not self.has_send_permission(request):
            raise PermissionDenied
        return admin_send.view(request, {**self.admin_site.each_context(request), "opts": self.opts})

    @method_decorator(sensitive_post_parameters("number"))
    def unlock(self, request: HttpRequest) -> HttpResponse:
        """Drop the wrong answers of a number and their locks, for staff who may change verifications."""
        if not self.has_end_permission(request):
            raise PermissionDenied
        return unlock.view(request, {**self.admin_site.each_context(request), "opts": self.opts})

    @admin.action(description=_("End the selected ones that are open"), permissions=["end"])
    def end(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Close what is open: its code is worth nothing from now on."""
        ended = 0
        try:
            for row in queryset.filter(status__in=_OPEN).iterator():
                if current_site().verifier.cancel_by_id(row.pk):
                    ended += 1
                    self.log_change(request, row, "Ended.")
        except StoreError as error:
            messages.error(request, str(error))
        told = ngettext("%d verification was ended.", "%d verifications were ended.", ended) % ended
        messages.success(request, told)

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Who may add verifications, in the words of Django's permissions."""
        return bool(request.user.has_perm(_SEND))

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Who may change them."""
        return bool(request.user.has_perm(_CHANGE))

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Who may view or change them."""
        return super().has_view_permission(request, obj) or self.has_end_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody: what is over goes by itself, and `phone_verify_erase` drops all of one number."""
        return False

    def found_by(self, phone: PhoneNumber) -> dict[str, str]:
        """By the tag."""
        return {"tag": current_site().verifier.tag(phone)}

    @admin.display(description=_("phone number"))
    def hint(self, row: VerificationRow) -> str:
        """As much of the number as may be shown."""
        return PhoneNumber(row.phone).hint

    @admin.display(description=_("state"))
    def state(self, row: VerificationRow) -> str:
        """The state that holds now."""
        over = row.status in _OPEN and row.expires_at <= _micros(_now())
        return Status.EXPIRED.value if over else row.status

    @admin.display(description=_("begun"))
    def begun(self, row: VerificationRow) -> str:
        """When it was started."""
        return _time(row.created_at)

    @admin.display(description=_("end of its life"))
    def ends(self, row: VerificationRow) -> str:
        """Until when it can, or could, be proven."""
        return _time(row.expires_at)

    @admin.display(description=_("closed"))
    def closed(self, row: VerificationRow) -> str:
        """When it was proven, or ended otherwise."""
        return "" if row.closed_at is None else _time(row.closed_at)

    @admin.display(description=_("next send not before"))
    def resend(self, row: VerificationRow) -> str:
        """When it may be sent again."""
        return _time(row.resend_at)


@admin.register(VerifiedPhone)
class VerifiedPhoneAdmin(_FoundByNumber):
    """Whose number it is. A number may be taken away here, and is given by a proof alone."""

    list_display = ("hint", "owner", "primary", "login", "verified_at")
    list_select_related = ("user",)
    ordering = ("-verified_at",)
    fields = ("owner", "hint", "primary", "login", "verified_at")
    readonly_fields = ("owner", "hint", "primary", "login")
    actions = ("make_primary",)
    own_lookups: ClassVar[Mapping[str, re.Pattern[str]]] = {"id__in": re.compile(r"[0-9]{1,18}(,[0-9]{1,18})*")}

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """The user's name, by which Django finds what is no number."""
        return [f"user__{get_user_model().USERNAME_FIELD}"]

    @admin.action(description=_("Make the selected ones their users' primary numbers"), permissions=["prefer"])
    def make_primary(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Of several numbers of one user the newest becomes it."""
        made = 0
        chosen = {row.user_id: row for row in queryset.select_related("user").order_by("verified_at", "pk")}
        for row in chosen.values():
            if accounts.make_primary(row.user, row.phone, request):
                made += 1
                self.log_change(request, row, "Made primary.")
        messages.success(request, ngettext("%d number is primary now.", "%d numbers are primary now.", made) % made)

    def delete_model(self, request: HttpRequest, obj: VerifiedPhone) -> None:
        """Take the number away, and say so by signal: also the last one, which only a site's owner may."""
        phones.withdraw(request, obj.user, obj.phone)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """The same for several."""
        for row in queryset.select_related("user"):
            phones.withdraw(request, row.user, row.phone)

    def has_prefer_permission(self, request: HttpRequest) -> bool:
        """Who may change verified phones, in the words of Django's permissions."""
        return bool(request.user.has_perm(_PREFER))

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Who may view or change them."""
        return super().has_view_permission(request, obj) or self.has_prefer_permission(request)

    def found_by(self, phone: PhoneNumber) -> dict[str, str]:
        """By the rows' own keys."""
        keys = VerifiedPhone.objects.filter(phone=phone.e164).values_list("pk", flat=True)
        return {"id__in": ",".join(map(str, keys)) or "0"}

    def found_otherwise(self, typed: str) -> dict[str, str] | None:
        """By the user's name, if it can be one: a mistyped number is not put into an address."""
        return {"q": typed} if any(letter.isalpha() for letter in typed) else None

    @admin.display(description=_("phone number"))
    def hint(self, phone: VerifiedPhone) -> str:
        """As much of the number as may be shown."""
        return PhoneNumber(phone.phone).hint

    @admin.display(description=_("primary"), boolean=True)
    def primary(self, phone: VerifiedPhone) -> bool:
        """Whether it is the first of its user's numbers."""
        return bool(phone.is_primary)

    @admin.display(description=_("signs in"), boolean=True)
    def login(self, phone: VerifiedPhone) -> bool:
        """Whether this user is the one whom it signs in."""
        return phone.signs_in is not None


def _now() -> datetime:
    return datetime.now(UTC)


def _micros(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000)


def _time(micros: int) -> str:
    """A time to the second, which Django's own formats leave out, in the site's time zone."""
    return timezone.localtime(datetime.fromtimestamp(micros // 1_000_000, UTC)).strftime("%Y-%m-%d %H:%M:%S")
