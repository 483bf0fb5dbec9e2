"""What the extension keeps of one application, and where on it we are."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request

from phone_verify.api import Site

from .login import Accounts

KEY = "phone_verify"


@dataclass(frozen=True, slots=True)
class Mounted:
    """PhoneVerify on one application: `app.extensions["phone_verify"]`."""

    site: Site
    accounts: Accounts
    #: Begins with a slash and does not end in one; empty at the root.
    prefix: str

    @property
    def path(self) -> str:
        """The path of the mount as browsers see it, with a slash at both ends."""
        return f"{request.script_root}{self.prefix}/"


def mounted() -> Mounted:
    """PhoneVerify on the current application."""
    found = current_app.extensions.get(KEY)
    if not isinstance(found, Mounted):
        raise RuntimeError(
            "this application has no phone_verify: write PhoneVerify(app) where you make the application"
        )
    return found
