"""For the site's own views: who may see them."""

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
    """Let in who is signed in and has a number; others sign in, or confirm one, and come back.

    A client that asks for JSON is answered 401 or 403 instead of being sent to a page. Put it below the route; views
    may be `async def`.
    """
    return _guarded(view, lambda: True)


def recent_phone_check_required(max_age: timedelta | float) -> Callable[[_View], _View]:
    """Let in who has proved the own number in this session, at most `max_age` ago (a number is seconds).

    Others do so and come back. Signing in by phone counts: so it is a second step after signing in in another way, and
    a step up after a while. Raises `ConfigurationError` for a `max_age` that is no span of time.
    """
    span = session_time.span(max_age)

    def is_recent() -> bool:
        age = last_phone_check()
        return age is not None and age <= span

    return lambda view: _guarded(view, is_recent)


def _guarded(view: _View, enough: Callable[[], bool]) -> _View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        user = current(current_state().accounts)
        if user is None:
            return _sent_to_sign_in()
        if user.phone is None or not enough():
            return _sent_to_verify()
        return current_app.ensure_sync(view)(*args, **kwargs)

    return cast("_View", guarded)


def _sent_to_sign_in() -> Any:
    manager = getattr(current_app, "login_manager", None)
    if manager is not None and (manager.unauthorized_callback or manager.login_view or manager.blueprint_login_views):
        return manager.unauthorized()
    if _wants_json():
        abort(401)
    return redirect(url_for("phone_verify.login", next=came_from()), 303)


def _sent_to_verify() -> Any:
    # Without that function the page could not give anybody a number.
    if _wants_json() or current_state().accounts.set_phone is None:
        abort(403, "Your number must be verified first.")
    return redirect(url_for("phone_verify.verify", next=came_from()), 303)


def _wants_json() -> bool:
    return request.is_json or request.accept_mimetypes.best_match(_TYPES, _TYPES[0]) != _TYPES[0]


def came_from() -> str | None:
    """The path to come back to: of this page, or of the one whose form was sent; None where that is not ours."""
    here = current_state()
    if request.method not in ("GET", "HEAD"):
        return here.safe_next(request.referrer or "") or None
    # `full_path` ends in a question mark where there is no query.
    path = request.full_path.rstrip("?") if request.query_string else request.path
    away = here.home if here.home is not None and request.host_url.rstrip("/") == here.home else ""
    return here.safe_next(f"{away}{request.script_root}{path}") or None
