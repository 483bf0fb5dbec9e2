"""Test helpers for a site: replace the network and the clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import site as django_site
from .site import forget


@contextmanager
def override(*, transport: Any = None, clock: Any = None) -> Iterator[None]:
    """Use this transport and this clock (`phone_verify.testing`) within the block."""
    before = dict(django_site._overrides)
    django_site._overrides.update({name: part for name, part in (("transport", transport), ("clock", clock)) if part})
    forget()
    try:
        yield
    finally:
        django_site._overrides.clear()
        django_site._overrides.update(before)
        forget()
