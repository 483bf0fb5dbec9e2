"""Admin lists that mask numbers, and restrict lookups so that a filter cannot reveal them.

Django accepts any lookup on a model's own columns in the address of a list, so
`?phone__startswith=` would reveal a number digit by digit. These lists accept only their filters
and the parameters of their own links.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from phone_verify import InvalidPhoneError, PhoneNumber

from . import users
from .site import current_site

#: A name that contains this many last digits of its user's number reveals the number.
_LEAST_DIGITS = 7


class MaskedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list with restricted lookups, for models with the columns `user` and `phone`."""

    #: The parameters of this list's own links, each with its allowed values.
    allowed_lookups: ClassVar[Mapping[str, re.Pattern[str]]] = {}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Return whether this lookup is allowed; otherwise Django responds with 400.

        A NUL is refused in every value: PostgreSQL cannot compare with one, and Django would respond with 500.
        """
        if pattern := self.allowed_lookups.get(lookup):
            return pattern.fullmatch(value) is not None
        return "\0" not in value and (lookup in self._filters(request) or self._is_of_a_popup(lookup, value))

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows, each with whether the user model's default manager returns its user."""
        rows: models.QuerySet[Any] = super().get_queryset(request)
        if not any(field.name == "user" for field in self.model._meta.fields):
            return rows
        has_visible_user = Exists(users.visible().filter(pk=OuterRef("user_id")))
        return rows.annotate(has_visible_user=has_visible_user)  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find users by a part of their name, or by the whole name if the term has a digit or no letter.

        Many sites use the number in usernames, and a part of a number must find nothing.
        """
        is_word = any(map(str.isalpha, search_term)) and not any(map(str.isnumeric, search_term))
        if not self.get_search_fields(request) or not search_term or is_word:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(**{f"user__{get_user_model().USERNAME_FIELD}": search_term}), False

    @admin.display(description=_("user"))
    def owner(self, row: Any) -> str:
        """Return the user's name, or the masked number if the name is or contains the number.

        No name of a user whom the default manager hides: other pages of the admin do not show it either.
        """
        if not has_visible_user(row):
            return str(_("deleted or hidden user"))
        name, phone = str(row.user), PhoneNumber(row.phone)
        if phone.e164[-_LEAST_DIGITS:] in _digits(name):
            return phone.hint
        try:
            return PhoneNumber.stored(name, current_site().verifier.policy.region).hint
        except InvalidPhoneError:
            return name

    def _filters(self, request: HttpRequest) -> Iterator[str]:
        """Yield the parameters of the listed filters, created as in `ChangeList.get_filters`."""
        entries: list[Any] = list(self.get_list_filter(request))
        for entry in entries:
            if isinstance(entry, type) and issubclass(entry, admin.SimpleListFilter):
                yield str(entry.parameter_name)
                continue
            list_filter: Any
            if isinstance(entry, type):
                list_filter = entry(request, {}, self.model, self)
            else:
                path, create = entry if isinstance(entry, list | tuple) else (entry, admin.FieldListFilter.create)
                field = get_fields_from_path(self.model, path)[-1]
                list_filter = create(field, request, {}, self.model, self, field_path=path)
            yield from list_filter.expected_parameters()

    def _is_of_a_popup(self, lookup: str, value: str) -> bool:
        """Return whether a popup has this lookup from the `limit_choices_to` of a foreign key to this model."""
        keys: list[Any] = self.model._meta.related_fkey_lookups
        limits = [key() if callable(key) else key for key in keys]
        return any((lookup, value) in url_params_from_lookup_dict(limit).items() for limit in limits)


def has_visible_user(row: Any) -> bool:
    """Return whether the user model's default manager returns the user of this row."""
    # A subclass may have replaced `get_queryset`.
    found: bool | None = getattr(row, "has_visible_user", None)
    return users.load(row.user_id) is not None if found is None else found


def _digits(name: str) -> str:
    """Return the digits of a name, of any script, in ASCII."""
    return "".join(str(unicodedata.digit(letter)) for letter in name if letter.isdigit())
