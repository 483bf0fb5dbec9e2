"""What the extension keeps of one application, and where on it we are."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request

from phone_verify.api import Site
from phone_verify.config.site import SiteConfig

from .account_hooks import AccountHooks
from .next_url import safe_next
from .store import Database

KEY = "phone_verify"


@dataclass(frozen=True, slots=True)
class AppState:
    """PhoneVerify on one application: `app.extensions["phone_verify"]`."""

    site: Site
    #: What the site was made from, for the commands.
    given: SiteConfig
    accounts: AccountHooks
    #: Begins with a slash and does not end in one; empty at the root.
    prefix: str
    subdomain: str | None = None
    #: Flask-SQLAlchemy's database, where the store is in it.
    database: Database | None = None

    @property
    def path(self) -> str:
        """The path of the mount as browsers see it, with a slash at both ends."""
        return f"{request.script_root}{self.prefix}/"

    @property
    def home(self) -> str | None:
        """The origin of the rest of the site, where our pages have a subdomain of their own; else None."""
        name = current_app.config["SERVER_NAME"]
        return f"{request.scheme}://{name}" if self.subdomain and name else None

    def safe_next(self, target: str) -> str:
        """Where to go after the present request: a path, or a whole address at `home`; empty if it is elsewhere."""
        return safe_next(target, request.host, self.site.public_url, self.home)


def current_state() -> AppState:
    """PhoneVerify on the current application."""
    found = current_app.extensions.get(KEY)
    if not isinstance(found, AppState):
        raise RuntimeError(
            "this application has no phone_verify: write PhoneVerify(app) where you make the application"
        )
    return found
