"""Answers requests to the pages of staff."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..http.site import Site
from . import delivery_pages, key_pages, money_pages, report_pages, service_pages, trial_page
from .call import Answer, RefusedError, Right, StaffCall

_NAME = r"([a-z][a-z0-9_]{0,31})"
_Handler = Callable[..., Answer]
_ROUTES: tuple[tuple[re.Pattern[str], _Handler], ...] = tuple(
    (re.compile(pattern), handler)
    for pattern, handler in (
        ("", service_pages.show_list),
        ("services/add/", service_pages.add),
        (f"services/{_NAME}/", service_pages.change),
        (f"services/{_NAME}/delete/", service_pages.delete),
        (f"balance/{_NAME}/", money_pages.show),
        ("keys/", key_pages.show_list),
        ("keys/add/", key_pages.add),
        ("deliveries/", delivery_pages.show),
        ("test/", trial_page.show),
        ("reports/(.*)", report_pages.show),
    )
)
#: Methods that every page has.
METHODS = ("GET", "HEAD", "POST")
#: The first page of each part, in the order of the navigation.
PART_PATHS = {"services": "", "keys": "keys/", "deliveries": "deliveries/", "test": "test/", "reports": "reports/"}


def answer(site: Site, call: StaffCall) -> Answer:
    """Return the page, the file or the redirect for a request.

    Raises `RefusedError` if the page does not exist or the user may not use it, and `StoreError` if a
    database does not answer. The caller checks the form's token before.
    """
    if call.method not in METHODS:
        raise RefusedError(405)
    for pattern, handler in _ROUTES:
        if (found := pattern.fullmatch(call.path)) is not None:
            return handler(site, call, *found.groups())
    raise RefusedError(404)


def parts_of(site: Site, call: StaffCall) -> list[tuple[str, str]]:
    """Return the parts that the user may see, each with its path and the key of its name."""
    flows = site.verifier.flows
    parts = {
        "services": (Right.VIEW, site.services is not None),
        "keys": (Right.KEYS, flows.keys is not None),
        "deliveries": (Right.DELIVERIES, site.deliverer is not None),
        "test": (Right.TEST, True),
        "reports": (Right.REPORTS, flows.ledger is not None),
    }
    return [(PART_PATHS[name], name) for name, (right, exists) in parts.items() if exists and call.may(right)]
