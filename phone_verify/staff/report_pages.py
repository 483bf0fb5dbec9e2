"""Reports among the pages of staff."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigurationError, StoreError
from ..http.site import Site
from ..reports.pages import PageRequest, respond
from ..sync import run
from .call import File, Page, RefusedError, Right, StaffCall, require


def show(site: Site, call: StaffCall, path: str) -> Page | File:
    """Show a report, a list of attempts or the downloads; or return a file."""
    require(call, Right.REPORTS)
    if call.is_post:
        raise RefusedError(405)
    try:
        aggregates = call.aggregates()
    except ConfigurationError:
        raise RefusedError(404) from None
    asked = PageRequest(
        path=path,
        query=call.query,
        language=call.language,
        now=call.now,
        zone=getattr(call.zone, "key", "UTC"),
        key_names=lambda: _key_names(site),
    )
    found = respond(aggregates, asked)
    if found.chunks is not None:
        return File(found.headers, found.chunks)
    return Page("report.html", found.title, "reports", {"report": found.body}, found.status, headers=found.headers)


def _key_names(site: Site) -> Mapping[str, str]:
    keys = site.verifier.flows.keys
    if keys is None:
        return {}
    try:
        return {key.id: key.name for key in run(keys.store.listed())}
    except StoreError:  # the report itself says what failed
        return {}
