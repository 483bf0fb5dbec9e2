"""Rejects requests that another site makes a visitor's browser send.

No token is needed: browsers report the origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .call import ApiRequest, ApiResponse
from .cookies import HEADER
from .problems import problem
from .site import Site


def cross_site(call: ApiRequest, site: Site) -> ApiResponse | None:
    """Return 403 if the browser reports that this request comes from another site, else None.

    An origin that the site trusts is accepted from everywhere, any other only as the site's own. A
    request without `Origin` is accepted with the header `Verification-Secret`, which another site
    cannot set without our consent, or if the browser reports nothing else. `same-site` alone, which
    includes every subdomain, is never accepted.
    """
    origin = call.headers.get("origin")
    if origin is None:
        accepted = _has_secret(call) or is_same_origin(call, site.public_url) is not False
    else:
        accepted = origin in site.trusted_origins or _is_own(call, origin, site.public_url)
    return None if accepted else problem(403, "cross_site", "This request came from another site.")


def is_same_origin(call: ApiRequest, public_url: str | None) -> bool | None:
    """Return whether the browser reports that this request comes from our own site; None if it reports nothing."""
    fetch_site = call.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = call.headers.get("origin")
    return None if origin is None else _matches(call, origin, public_url)


def _has_secret(call: ApiRequest) -> bool:
    return bool(call.headers.get(HEADER)) and call.headers.get("sec-fetch-site") != "same-site"


def _is_own(call: ApiRequest, origin: str, public_url: str | None) -> bool:
    """Return whether this origin is the site's own.

    `same-origin` is the browser's word for it, also behind a proxy that changes `Host`. `none` is
    not: an extension's request has it, with the extension's origin.
    """
    fetch_site = call.headers.get("sec-fetch-site", "none")
    return fetch_site == "same-origin" or (fetch_site == "none" and _matches(call, origin, public_url))


def _matches(call: ApiRequest, origin: str, public_url: str | None) -> bool:
    if public_url is not None and origin.lower() == public_url.lower():
        return True
    host = call.headers.get("host", "")
    try:
        there = urlsplit(origin)
    except ValueError:
        return False
    return there.scheme in ("http", "https") and bool(host) and there.netloc.lower() == host.lower()
