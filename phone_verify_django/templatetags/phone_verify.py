"""Filters and tags for a site's own templates: `{% load phone_verify %}`.

Numbers are grouped as they are read out, and isolated from left to right on every page. All values are escaped.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from django import template
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.base_user import AbstractBaseUser
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.i18n.texts import spoken

from ..access import has_checked, to_timedelta
from ..accounts import phone_of
from ..app_settings import sign_in_url

register = template.Library()

#: Pages that are never the `next` of a link: they would redirect to themselves.
_OURS = ("login", "code", "verify", "logout")


@register.filter
def phone(value: object) -> SafeString | str:
    """Return a number, or a user's primary one, as it is read out: `{{ user|phone }}`. Anything else renders as ''."""
    number = _number(value)
    return "" if number is None else _isolated(spoken(number))


@register.filter
def phone_hint(value: object) -> SafeString | str:
    """Return the masked form of a number, or of a user's: `{{ user|phone_hint }}`. Anything else renders as ''."""
    number = _number(value)
    return "" if number is None else _isolated(number.hint)


@register.simple_tag(takes_context=True)
def phone_login_url(context: Context) -> str:
    """Return the address of the sign-in page, which returns to the current page.

    On the site's own LOGIN_URL, it returns to that page's `next`.
    """
    return _address(context, "login")


@register.simple_tag(takes_context=True)
def phone_verify_url(context: Context) -> str:
    """Return the address of the page that verifies or changes the number, which returns to the current page."""
    return _address(context, "verify")


@register.simple_tag(takes_context=True)
def phone_checked(context: Context, max_age: float) -> bool:
    """Return whether the number was verified in the last `max_age` seconds: `{% phone_checked 600 as checked %}`."""
    request = context.get("request")
    return request is not None and has_checked(request, to_timedelta(max_age))


def _address(context: Context, name: str) -> str:
    url, request = reverse(f"phone_verify:{name}"), context.get("request")
    if request is None or request.method not in ("GET", "HEAD"):
        return url  # a posted form has no address to return to
    if request.path in [reverse(f"phone_verify:{page}") for page in _OURS]:
        return url
    back = request.get_full_path()
    if request.path == urlsplit(sign_in_url()).path:
        back = request.GET.get(REDIRECT_FIELD_NAME, "")  # our page checks it
    return f"{url}?{REDIRECT_FIELD_NAME}={quote(back, safe='/')}" if back else url


def _number(value: Any) -> PhoneNumber | None:
    if isinstance(value, PhoneNumber):
        return value
    text = phone_of(value) if isinstance(value, AbstractBaseUser) else value
    try:
        return PhoneNumber.stored(text) if isinstance(text, str) else None
    except InvalidPhoneError:
        return None


def _isolated(text: str) -> SafeString:
    return format_html('<bdi dir="ltr">{}</bdi>', text)
