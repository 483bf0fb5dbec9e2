"""Rejects requests that another site makes a visitor's browser send.

No token is needed: browsers report the origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .call import ApiRequest, ApiResponse
from .cookies import HEADER
from .problems import problem


def cross_site(call: ApiRequest, public_url: str | None) -> ApiResponse | None:
    """Return 403 if the browser reports that this request comes from another site, else None.

    Another site cannot set the `Verification-Secret` header without our consent, so a call with
    this header does not come from one.
    """
    if call.headers.get(HEADER):
        return None
    if is_same_origin(call, public_url) is not False:
        return None
    return problem(403, "cross_site", "This request came from another site.")


def is_same_origin(call: ApiRequest, public_url: str | None) -> bool | None:
    """Return whether the browser reports that this request comes from our own site; None if it reports nothing."""
    fetch_site = call.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = call.headers.get("origin")
    return None if origin is None else _is_ours(origin, call.headers.get("host", ""), public_url)


def _is_ours(origin: str, host: str, public_url: str | None) -> bool:
    if public_url is not None and origin.lower() == public_url.lower():
        return True
    try:
        there = urlsplit(origin)
    except ValueError:
        return False
    return there.scheme in ("http", "https") and bool(host) and there.netloc.lower() == host.lower()
