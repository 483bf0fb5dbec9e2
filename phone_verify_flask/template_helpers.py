"""What the site's own templates have: `phone_verify`, in every template of the application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import request, url_for
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.i18n.texts import spoken

from .calls import read_call
from .decorators import came_from
from .recent import last_phone_check
from .state import current_state


class PhoneVerifyInTemplates:
    """`{{ phone_verify.number(current_user) }}` and the like. Numbers run from left to right on every page."""

    @property
    def text(self) -> Mapping[str, str]:
        """The texts of our pages, in the language of this one."""
        return read_call("").texts.page

    def number(self, user_or_number: Any) -> Markup | str:
        """A number, or a user's own, as it is read out; empty where there is none."""
        number = self._number(user_or_number)
        return "" if number is None else _isolated(spoken(number))

    def hint(self, user_or_number: Any) -> Markup | str:
        """As much of a number, or of a user's, as others may see; empty where there is none."""
        number = self._number(user_or_number)
        return "" if number is None else _isolated(number.hint)

    def verified(self, user: Any) -> bool:
        """Whether this is a user who has a number."""
        return self._number(user) is not None

    def checked(self, seconds: float) -> bool:
        """Whether who is signed in proved the own number in this session, no longer ago than this."""
        age = last_phone_check()
        return age is not None and age <= timedelta(seconds=seconds)

    def login_url(self) -> str:
        """The page for signing in, which leads back here."""
        return self._url("login")

    def verify_url(self) -> str:
        """The page on which who is signed in confirms or changes the number, and which leads back here."""
        return self._url("verify")

    def logout_url(self) -> str:
        """Where a form with the token is posted to sign out."""
        return url_for("phone_verify.logout")

    def csrf_token(self) -> str:
        """The token of a form."""
        token: str = generate_csrf()
        return token

    @staticmethod
    def _url(page: str) -> str:
        ours = request.blueprint == "phone_verify"  # they would lead back to themselves
        return url_for(f"phone_verify.{page}", next=None if ours else came_from())

    @staticmethod
    def _number(value: Any) -> PhoneNumber | None:
        if value is None or isinstance(value, PhoneNumber):
            return value
        if not isinstance(value, str):
            known = getattr(value, "is_authenticated", False)
            return current_state().accounts.number_of(value) if known else None
        try:
            return PhoneNumber.parse(value)
        except InvalidPhoneError:
            return None


def in_templates() -> dict[str, object]:
    """A context processor."""
    return {"phone_verify": PhoneVerifyInTemplates()}


def _isolated(text: str) -> Markup:
    return Markup('<bdi dir="ltr">{}</bdi>').format(text)
