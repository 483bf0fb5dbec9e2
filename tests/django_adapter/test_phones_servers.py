"""Concurrent verifications of numbers, on PostgreSQL and MariaDB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.race
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_phone_races_have_one_winner_on_servers(kind: str) -> None:
    with servers.database(kind) as url:
        done = subprocess.run(
            [sys.executable, "-m", "tests.django_adapter.concurrent_phones", url],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("PHONE_VERIFY_")},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-3000:]
