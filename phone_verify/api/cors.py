"""CORS: which other origins may read the API's responses from a browser."""

from __future__ import annotations

from collections.abc import Mapping

from ..http.site import Site
from .routes import methods_of

_REQUEST_HEADERS = "content-type, verification-secret, idempotency-key, authorization"
#: Longer than a visitor needs for a verification. A stale copy permits nothing, since each call is checked.
_PREFLIGHT_SECONDS = 600


def cors_headers(site: Site, path: str, origin: str | None) -> Mapping[str, str]:
    """Return the headers of every response to this path of the API, including refusals.

    `origin` is the request's header. Only an origin of the settings gets more than `Vary`, which an
    adapter adds to the `Vary` of the framework. Paths outside of `v1/` get none.
    """
    if path != "v1" and not path.startswith("v1/"):
        return {}
    if origin is None or origin not in site.trusted_origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        **({"Access-Control-Allow-Methods": ", ".join(methods)} if (methods := methods_of(path)) else {}),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Expose-Headers": "Retry-After",
        "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
    }
