"""Packages that only one command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Within it an import that fails is told as the extra that has the package."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(
            f"this command needs more packages ({error.name} is missing): pip install 'phone-verify[{extra}]'"
        ) from None
