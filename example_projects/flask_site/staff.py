"""The pages of staff under /staff/, for users who know the password in the environment."""

import hmac

from flask import Response, abort, request, url_for

from phone_verify_flask.dashboard import dashboard


def staff_pages(password, time_zone):
    """Return the blueprint. A real site asks its own users and their roles, and the time zone of each."""

    def may(right):
        given = request.authorization
        if given is None or not hmac.compare_digest((given.password or "").encode(), password.encode()):
            abort(Response("Sign in as staff.\n", 401, {"WWW-Authenticate": 'Basic realm="staff"'}))
        return True

    return dashboard(may, time_zone=lambda: time_zone, home=lambda: url_for("pages.home"))
