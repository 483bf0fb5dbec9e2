"""The tables that are made from the code, between a pair of comments in their page.

<!-- table: settings -->
…
<!-- end -->

Those of `PAGES` are checked in. Those of the providers are filled in when the site is staged, so that a
driver changes no page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .decision_index import decision_index
from .finding_table import finding_table
from .provider_tables import provider_table, role_meanings, role_table
from .settings_table import django_settings_table, settings_table

ROOT = Path(__file__).parents[1]
PAGES = (
    "docs/settings.md",
    "docs/cli.md",
    "docs/accounts.md",
    "docs/decisions/README.md",
)
TABLES: Mapping[str, Callable[[], str]] = {
    "providers": provider_table,
    "roles": role_table,
    "role meanings": role_meanings,
    "decisions": decision_index,
    "findings": finding_table,
    "settings": settings_table,
    "settings of Django": django_settings_table,
}

_BLOCK = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def current(text: str) -> str:
    """Return the page with every table as the code has it now. Raises KeyError for a table that does not exist."""
    return _BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[3], text)


def stale() -> Sequence[str]:
    """Return the pages whose tables differ from the code."""
    return [name for name in PAGES if current(text := (ROOT / name).read_text("utf-8")) != text]


def rewrite() -> Sequence[str]:
    """Write the current tables into their pages; return the pages that changed."""
    changed = stale()
    for name in changed:
        page = ROOT / name
        page.write_text(current(page.read_text("utf-8")), "utf-8")
    return changed
