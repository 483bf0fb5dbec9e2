"""SQLite files that have the tables of services, keys and the ledger: a copy takes a tenth of a migration."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from phone_verify.database.schema import upgrade


def with_tables(path: Path) -> str:
    """Make a missing file; return its URL."""
    if not path.exists():
        path.write_bytes(_tables())
    return f"sqlite:///{path}"


@cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{folder}/tables")
        return (Path(folder) / "tables").read_bytes()
