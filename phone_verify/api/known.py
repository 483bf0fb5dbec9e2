"""The cookie of a known browser: set where somebody has signed in, shown with every start."""

from __future__ import annotations

from ..known_browser import KNOWN_FOR
from ..model import Redeemed
from .call import Call
from .site import Site

KNOWN_COOKIE = "phone_verify_device"
KNOWN_COOKIE_SECONDS = int(KNOWN_FOR.total_seconds())


def known_cookie(site: Site, call: Call, redeemed: Redeemed) -> str | None:
    """The new value of the cookie for a browser that has just signed in by this proof; None leaves it.

    A test number's fixed code is no sign of whose browser it is.
    """
    if redeemed.by_fixed_code:
        return None
    return site.verifier.known_after(call.known_cookie, redeemed.phone)
