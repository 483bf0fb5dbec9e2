"""The login stages of django-allauth, if the site has installed it.

`phone_verify_django.allauth` registers them at start-up, so that `accounts` does not import it.
"""

from __future__ import annotations

from typing import Protocol

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from phone_verify.model import Redeemed


class LoginStages(Protocol):
    """The further steps that another package requires before a session is opened."""

    def sign_in(
        self,
        request: HttpRequest,
        user: AbstractBaseUser,
        redeemed: Redeemed,
        *,
        created: bool,
        adds: bool,
        remember: bool | None,
        next_url: str,
    ) -> bool:
        """Sign the user in through the stages. Return False if the package refuses the user."""
        ...

    def is_complete(self, request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, created: bool) -> bool:
        """Return whether the user would be signed in without a further step."""
        ...


_registered: LoginStages | None = None


def register(stages: LoginStages) -> None:
    """Use these stages for every sign-in."""
    global _registered
    _registered = stages


def current() -> LoginStages | None:
    """Return the stages in use, or None if django-allauth is not installed."""
    return _registered if apps.is_installed("allauth.account") else None
