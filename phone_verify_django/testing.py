"""For tests of a site: another network and another time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import conf


@contextmanager
def override(*, transport: Any = None, clock: Any = None) -> Iterator[None]:
    """Within it the site sends by this transport and lives by this clock (`phone_verify.testing`)."""
    before = dict(conf._instead)
    conf._instead.update({name: part for name, part in (("transport", transport), ("clock", clock)) if part})
    conf.forget()
    try:
        yield
    finally:
        conf._instead.clear()
        conf._instead.update(before)
        conf.forget()
