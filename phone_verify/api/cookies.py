"""How our two cookies are written and read: name, path and attributes, by how the request came.

Over https their names begin with `__Host-`. A browser accepts such a cookie only from this very host, over https and
for the whole site, so that neither a sibling subdomain nor plain http can plant one; and a cookie without the prefix
is not read there. Without TLS, in development, no browser accepts the prefix, and the names have none.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from .binding import COOKIE, COOKIE_SECONDS
from .known import KNOWN_COOKIE, KNOWN_COOKIE_SECONDS
from .site import Site

log = logging.getLogger("phone_verify")

PREFIX = "__Host-"
#: Every name that our cookies can have; error reports must mask them.
ALL_NAMES = tuple(prefix + name for prefix in ("", PREFIX) for name in (COOKIE, KNOWN_COOKIE))

_SECONDS = {COOKIE: COOKIE_SECONDS, KNOWN_COOKIE: KNOWN_COOKIE_SECONDS}
_LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def cookie_name(cookie: str, *, https: bool) -> str:
    """Return the name under which this cookie is written and read on a request that came so."""
    return f"{PREFIX}{cookie}" if https else cookie


def cookie_arguments(
    site: Site, cookie: str, value: str, *, https: bool, mount: str, same_site: object
) -> dict[str, Any]:
    """Return the keyword arguments for the response's `set_cookie`; an empty value deletes the cookie.

    `https` is the framework's answer to whether the request came over TLS, `mount` the path of our URLs, and
    `same_site` the framework's setting for its own session cookie.
    """
    secure = https or site.secure_cookies
    if secure and not https:
        _warn_of_plain_http(site.public_url)
    # A framework that sets none of these words has no wish: Lax is what browsers assume.
    word = same_site.title() if isinstance(same_site, str) else "Lax"
    return {
        "key": cookie_name(cookie, https=https),
        "value": value,
        "max_age": _SECONDS[cookie] if value else 0,
        "expires": None if value else _LONG_AGO,
        "path": "/" if https else mount,
        "secure": secure,
        "httponly": True,
        "samesite": word if word == "Strict" or (word == "None" and secure) else "Lax",
    }


@cache
def _warn_of_plain_http(public_url: str | None) -> None:
    log.warning(
        "a request came over plain http while the public URL is %s: if your proxy ends TLS, configure Django's "
        "SECURE_PROXY_SSL_HEADER or werkzeug's ProxyFix, so that cookies get the __Host- prefix",
        public_url,
    )
