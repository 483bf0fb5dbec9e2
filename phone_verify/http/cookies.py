"""The two cookies of this library: their values, and how they are written and read.

`phone_verify` holds the (id, secret) pairs of this browser's verifications; clients without cookies
send a secret in a header. `phone_verify_device` marks a trusted device. Over https both names begin
with `__Host-`: a browser accepts such a cookie only from this exact host, over https and for the
whole site, so that neither a sibling subdomain nor plain http can plant one, and a cookie without
the prefix is not read. Without TLS, in development, browsers reject this prefix, and the names have
none. The path is always `/`: the pages can have an address for each language.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..model import Channel, Redeemed, is_id
from ..tokens.trusted_device import TRUSTED_FOR
from .call import ApiRequest
from .site import Site

log = logging.getLogger("phone_verify")

Pairs = Sequence[tuple[str, str]]

COOKIE = "phone_verify"
#: Long enough for the longest lifetime (600 s), the proof (300 s) and some delay.
COOKIE_SECONDS = 3600
HEADER = "verification-secret"
_MOST = 5
_SECRET = re.compile(r"[A-Za-z0-9_-]{22}\Z", re.ASCII)
DEVICE_COOKIE = "phone_verify_device"
DEVICE_COOKIE_SECONDS = int(TRUSTED_FOR.total_seconds())

PREFIX = "__Host-"
#: All possible names of the two cookies; error reports must mask them.
ALL_NAMES = tuple(prefix + name for prefix in ("", PREFIX) for name in (COOKIE, DEVICE_COOKIE))

_SECONDS = {COOKIE: COOKIE_SECONDS, DEVICE_COOKIE: DEVICE_COOKIE_SECONDS}
_LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def cookie_name(cookie: str, *, https: bool) -> str:
    """Return the name under which a request over this scheme has the cookie."""
    return f"{PREFIX}{cookie}" if https else cookie


def cookie_arguments(site: Site, cookie: str, value: str, *, https: bool, same_site: object) -> dict[str, Any]:
    """Return the keyword arguments for the response's `set_cookie`.

    An empty value deletes the cookie. `https` is the framework's answer to whether the request came
    over TLS, and `same_site` the framework's setting for its own session cookie.
    """
    secure = https or site.secure_cookies
    if secure and not https:
        _warn_of_plain_http(site.public_url)
    # Lax if the framework sets none of these values: browsers assume the same.
    word = same_site.title() if isinstance(same_site, str) else "Lax"
    return {
        "key": cookie_name(cookie, https=https),
        "value": value,
        "max_age": _SECONDS[cookie] if value else 0,
        "expires": None if value else _LONG_AGO,
        "path": "/",
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


def pairs(cookie: str) -> Pairs:
    """Return the (id, secret) pairs of a cookie's value, newest first, without malformed ones."""
    found = []
    for entry in cookie.split("~")[:_MOST]:
        id, _, secret = entry.partition(".")
        if is_id(id) and _SECRET.match(secret):
            found.append((id, secret))
    return found


def with_pair(cookie: str, id: str, secret: str) -> str:
    """Return the cookie's value with this pair in front; the last five pairs are kept."""
    return _joined([(id, secret), *(pair for pair in pairs(cookie) if pair[0] != id)][:_MOST])


def without_pair(cookie: str, id: str) -> str:
    """Return the cookie's value without this verification."""
    return _joined([pair for pair in pairs(cookie) if pair[0] != id])


def only_pair(cookie: str, id: str) -> str:
    """Return the cookie's value with only this verification."""
    return _joined([pair for pair in pairs(cookie) if pair[0] == id])


def secret_for(call: ApiRequest, id: str) -> str:
    """Return the secret presented for this verification, or an empty text.

    The header takes precedence over the cookie.
    """
    header = call.headers.get(HEADER)
    return header if header is not None else dict(pairs(call.cookie)).get(id, "")


def presented_secrets(call: ApiRequest) -> Sequence[str]:
    """Return every secret that this request presents."""
    header = call.headers.get(HEADER)
    return [*([header] if header else []), *(secret for _, secret in pairs(call.cookie))]


def _joined(held: Pairs) -> str:
    return "~".join(f"{id}.{secret}" for id, secret in held)


def device_cookie(site: Site, call: ApiRequest, redeemed: Redeemed, user_id: str = "") -> str | None:
    """Return the new device cookie for a browser that has just signed in with this proof.

    None leaves the old one. A test number's fixed code does not show who uses the browser. The
    `user_id` is sealed in it, for `web.last_number`; empty if the sign-in ends with the browser,
    which others may use next. The channel of this sign-in follows; it needs no signature, since all
    that it does is preselect a channel.
    """
    if redeemed.by_test_number:
        return None
    user = user_id if site.offer_last_number else ""
    return f"{site.verifier.remember_device(call.device_cookie, redeemed.phone, user)}~{redeemed.channel}"


def last_channel(call: ApiRequest) -> str:
    """Return the channel of this trusted device's last sign-in by phone, or an empty text."""
    word = call.device_cookie.rpartition("~")[2]
    return word if word in set(Channel) else ""
