"""Spent attempts survive the rollback of the site's transaction, through real requests on every database."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import forks
from tests.stores import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["sqlite", *servers.PARAMETERS])
def test_attempts_survive_outer_rollback(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if kind == "sqlite":
            # No separate write is possible in a block that has written: such a view is refused, see test_orm_store.py.
            url, views = f"sqlite:///{tmp_path}/site.sqlite3", ["/own/"]
        else:
            url, views = stack.enter_context(servers.database(kind)), ["/own/", "/own/written/"]
        done = forks.run(
            [sys.executable, "-W", "error", "-m", "tests.django_adapter.atomic_site", url, *views],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-3000:]
