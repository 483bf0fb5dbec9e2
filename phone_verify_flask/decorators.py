"""Decorators that restrict the site's views to users with a verified number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar, cast

from flask import abort, current_app, redirect, request, url_for

from phone_verify.http import session_time

from .login import current
from .recent import last_phone_check
from .state import current_state

_View = TypeVar("_View", bound=Callable[..., Any])

_TYPES = ("text/html", "application/json")


def phone_verified_required(view: _View) -> _View:
    """Allow only signed-in users who have a number; others sign in or verify one, and return.

    A client that accepts JSON gets 401 or 403 instead of a redirect. Put the decorator below the route; views may be
    `async def`.
    """
    return _restrict(view, lambda: True)


def recent_phone_check_required(max_age: timedelta | float) -> Callable[[_View], _View]:
    """Allow only users who verified their number in this session within `max_age` (seconds or timedelta).

    Others verify it and return. A sign-in by phone counts, so this is a second step after another sign-in method, and
    step-up verification later on. Raises `ConfigurationError` for an invalid `max_age`.
    """
    span = session_time.to_timedelta(max_age)

    def is_recent() -> bool:
        age = last_phone_check()
        return age is not None and age <= span

    return lambda view: _restrict(view, is_recent)


def _restrict(view: _View, is_allowed: Callable[[], bool]) -> _View:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        user = current(current_state().accounts)
        if user is None:
            return _redirect_to_login()
        if user.phone is None or not is_allowed():
            return _redirect_to_verify()
        return current_app.ensure_sync(view)(*args, **kwargs)

    return cast("_View", wrapper)


def _redirect_to_login() -> Any:
    manager = getattr(current_app, "login_manager", None)
    if manager is not None and manager.unauthorized_callback:
        return manager.unauthorized()
    if _wants_json():
        abort(401)
    if manager is not None and (manager.login_view or manager.blueprint_login_views):
        return manager.unauthorized()
    return redirect(url_for("phone_verify.login", next=return_url()), 303)


def _redirect_to_verify() -> Any:
    # Without that callback the page cannot assign a number.
    if _wants_json() or current_state().accounts.set_phone is None:
        abort(403, "Your number must be verified first.")
    return redirect(url_for("phone_verify.verify", next=return_url()), 303)


def _wants_json() -> bool:
    return request.is_json or request.accept_mimetypes.best_match(_TYPES, _TYPES[0]) != _TYPES[0]


def return_url() -> str | None:
    """Return the path to return to: of this page, or of the page of a posted form; None for another site."""
    here = current_state()
    if request.method not in ("GET", "HEAD"):
        return here.safe_next(request.referrer or "") or None
    # `full_path` ends with a question mark if the query is empty.
    path = request.full_path.rstrip("?") if request.query_string else request.path
    away = here.home if here.home is not None and request.host_url.rstrip("/") == here.home else ""
    return here.safe_next(f"{away}{request.script_root}{path}") or None
