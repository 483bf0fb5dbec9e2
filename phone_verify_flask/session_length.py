"""How long a sign-in lasts: as the visitor chose on the page, or else as long as the site's sessions.

Many sites make every session permanent, in a `before_request` function or by Flask-Session. A visitor
who cleared the box "Stay signed in on this device" is signed out with the browser there too.
"""

from __future__ import annotations

from typing import Any

import flask_login
from flask import Flask, Response, session

#: In the session: its user cleared the box.
_ENDS = "_phone_verify_ends_with_browser"


def watch(app: Flask) -> None:
    """Keep sessions from outliving the browser if their user cleared the box, and forget it at the next sign-in."""
    flask_login.user_logged_in.connect(_signed_in, app)
    app.after_request(_end_with_browser)


def is_permanent() -> bool:
    """Return whether the session of this request outlives the browser. Signing in clears it."""
    return session.permanent


def begin(*, permanent: bool, remember: bool | None) -> bool:
    """Apply the visitor's choice to the session that has just signed in; return whether it outlives the browser.

    `permanent` is what `is_permanent` returned before. `remember` is None if the visitor was not asked.
    """
    if remember is None:
        if permanent:
            session.permanent = True
        return permanent
    if not remember:
        session[_ENDS] = True
    return remember


def _signed_in(app: Flask, **_: Any) -> None:
    session.pop(_ENDS, None)


def _end_with_browser(response: Response) -> Response:
    # A response that has not read the session is not to depend on it, as its `Vary` would say.
    if session.accessed and session.permanent and session.get(_ENDS):
        session.permanent = False
    return response
