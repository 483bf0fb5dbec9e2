"""How the API recognizes an OAuth client, if the site has registered a bridge to an OAuth package."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, current_app, request

_KEY = "phone_verify_oauth_clients"

#: Returns the id of the client whose token the current request has, or None.
ClientOf = Callable[[], "str | None"]


def register(app: Flask, client_of: ClientOf) -> None:
    """Ask this function about every token with which a verification is started."""
    app.extensions[_KEY] = client_of


def of_request() -> ClientOf | None:
    """Return the function to ask about the token of the current request; None without a token or a bridge."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    found: ClientOf | None = current_app.extensions.get(_KEY)
    return found if token and scheme.lower() == "bearer" else None
