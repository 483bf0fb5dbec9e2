"""The extension's state on one application."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import Request, current_app, has_request_context, request, session

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
    #: The configuration of the site, for the commands.
    given: SiteConfig
    accounts: AccountHooks
    #: Begins with a slash and does not end in one; empty at the root.
    prefix: str
    subdomain: str | None = None
    #: Flask-SQLAlchemy's database, if the store is in it.
    database: Database | None = None

    @property
    def path(self) -> str:
        """The path of the mount in browsers, with a slash at both ends."""
        return f"{request.script_root}{self.prefix}/"

    @property
    def home(self) -> str | None:
        """The origin of the rest of the site if the pages are on a subdomain, else None."""
        name = current_app.config["SERVER_NAME"]
        return f"{request.scheme}://{name}" if self.subdomain and name else None

    def next_in_session(self) -> str:
        """Return the redirect target that Flask-Login keeps in the session with USE_SESSION_FOR_NEXT; else empty."""
        target = session.get("next") if current_app.config.get("USE_SESSION_FOR_NEXT") else None
        return self.safe_next(target) if isinstance(target, str) else ""

    def safe_next(self, target: str) -> str:
        """Return the redirect target: a path, or an absolute URL below `home`; empty for any other site."""
        return safe_next(target, request.host, self.site.public_url, self.home)


def current_request() -> Request:
    """Return the request itself, for several reads: `flask.request` looks it up again for each."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


def current_state() -> AppState:
    """Return the state of PhoneVerify on the current application, with the site of the request's host."""
    found = current_app.extensions.get(KEY)
    if not isinstance(found, AppState):
        raise RuntimeError(
            "this application has no phone_verify: write PhoneVerify(app) where you create the application"
        )
    if found.site.others and has_request_context():
        return replace(found, site=found.site.at(request.environ.get("HTTP_HOST", "")))
    return found
