"""For tests of a site: another network and another time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import site as django_site
from .site import forget


@contextmanager
def override(*, transport: Any = None, clock: Any = None) -> Iterator[None]:
    """Within it the site sends by this transport and lives by this clock (`phone_verify.testing`)."""
    before = dict(django_site._instead)
    django_site._instead.update({name: part for name, part in (("transport", transport), ("clock", clock)) if part})
    forget()
    try:
        yield
    finally:
        django_site._instead.clear()
        django_site._instead.update(before)
        forget()
