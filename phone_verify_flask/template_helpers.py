"""The template variable `phone_verify`, available in every template of the application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import current_app, request, url_for
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.i18n.texts import spoken

from .calls import read_call
from .decorators import return_url
from .recent import last_phone_check
from .state import current_state


class PhoneVerifyInTemplates:
    """`{{ phone_verify.number(current_user) }}` and others. Numbers are isolated left-to-right text."""

    @property
    def text(self) -> Mapping[str, str]:
        """The texts of our pages, in the language of the current page."""
        return read_call("").texts.page

    def number(self, user_or_number: Any) -> Markup | str:
        """Return a number, or that of a user, grouped for reading; empty without one."""
        number = self._number(user_or_number)
        return "" if number is None else _isolated(spoken(number))

    def hint(self, user_or_number: Any) -> Markup | str:
        """Return a number, or that of a user, masked; empty without one."""
        number = self._number(user_or_number)
        return "" if number is None else _isolated(number.hint)

    def verified(self, user: Any) -> bool:
        """Return whether this user has a number."""
        return self._number(user) is not None

    def checked(self, seconds: float) -> bool:
        """Return whether the current user verified their number in this session within `seconds`."""
        age = last_phone_check()
        return age is not None and age <= timedelta(seconds=seconds)

    def login_url(self) -> str:
        """Return the URL of the sign-in page, which leads back to this page.

        On the site's own sign-in page, it leads to that page's `next`.
        """
        return self._url("login")

    def verify_url(self) -> str:
        """Return the URL of the page that confirms or changes the number and leads back to this page."""
        return self._url("verify")

    def logout_url(self) -> str:
        """Return the URL to which a form with the token is posted to sign out."""
        return url_for("phone_verify.logout")

    def csrf_token(self) -> str:
        """Return the CSRF token of a form."""
        token: str = generate_csrf()
        return token

    @staticmethod
    def _url(page: str) -> str:
        if request.blueprint == "phone_verify":
            back = None  # it would lead back to itself
        elif _is_sign_in_page():
            # To the page that requires the sign-in, not to this one.
            here, target = current_state(), request.args.get("next") or request.form.get("next") or ""
            back = here.safe_next(target) or here.next_in_session() or None
        else:
            back = return_url()
        return url_for(f"phone_verify.{page}", next=back)

    @staticmethod
    def _number(value: Any) -> PhoneNumber | None:
        if value is None or isinstance(value, PhoneNumber):
            return value
        if not isinstance(value, str):
            signed_in = getattr(value, "is_authenticated", False)
            return current_state().accounts.number_of(value) if signed_in else None
        try:
            return PhoneNumber.stored(value)
        except InvalidPhoneError:
            return None


def template_context() -> dict[str, object]:
    """Return the template variables (a context processor)."""
    return {"phone_verify": PhoneVerifyInTemplates()}


def _is_sign_in_page() -> bool:
    """Return whether this is a `login_view` of Flask-Login: an endpoint, or an address."""
    manager = getattr(current_app, "login_manager", None)
    views = [] if manager is None else [manager.login_view, *manager.blueprint_login_views.values()]
    return request.endpoint in views or f"{request.script_root}{request.path}" in views


def _isolated(text: str) -> Markup:
    return Markup('<bdi dir="ltr">{}</bdi>').format(text)
