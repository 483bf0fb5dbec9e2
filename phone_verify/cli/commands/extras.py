"""Packages that only one command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Report an ImportError within `with` as a missing extra."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(
            f"this command needs more packages ({error.name} is missing): pip install 'phone-verify[{extra}]'"
        ) from None
