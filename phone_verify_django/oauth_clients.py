"""How the API recognizes an OAuth client, if the site has installed a bridge to an OAuth package.

The bridge registers its function at start-up, so that the API does not import it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

#: Returns the id of the client whose token the request has, or None.
ClientOf = Callable[[HttpRequest], "str | None"]

_registered: ClientOf | None = None


def register(client_of: ClientOf) -> None:
    """Ask this function about every token with which a verification is started."""
    global _registered
    _registered = client_of


def of(request: HttpRequest) -> ClientOf | None:
    """Return the function to ask about the token of this request; None without a token or a bridge."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return _registered if token and scheme.lower() == "bearer" else None
