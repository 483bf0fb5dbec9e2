"""The login stage that keeps a number verified by allauth's pages until that login has ended."""

from __future__ import annotations

from typing import Any

from allauth.account.stages import LoginStage  # type: ignore[import-untyped]

from .login import ARGUMENT, argument, verified_in


class PhoneStage(LoginStage):  # type: ignore[misc]
    """Store a number verified in this request in the login. The stage is never pending.

    `PhoneVerifyAccountAdapter` places it after the stages that verify a phone, and before others.
    """

    key = "phone_verify"

    def handle(self) -> tuple[None, bool]:
        """Store the number, and return that the login continues."""
        login: Any = self.login
        redeemed = verified_in(self.request, login.user) if login.user is not None else None
        kept = login.signal_kwargs or {}
        if redeemed is not None and ARGUMENT not in kept:
            more = argument(redeemed, adds=False, remember=None, on_our_page=False)
            login.signal_kwargs = {**kept, **more}
        return None, True
