"""The table of the doctor's findings, read from its catalogue."""

from __future__ import annotations

from phone_verify.doctor import CATALOGUE

from .markdown import table


def finding_table() -> str:
    """Return a row for each id."""
    return table(("id", "meaning"), ((f"`{id}`", meaning) for id, meaning in CATALOGUE.items()))
