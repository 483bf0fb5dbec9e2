"""The comparison of registered and unknown numbers on PostgreSQL and MariaDB, in a separate run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_registered_and_unknown_numbers_take_equal_statements(kind: str) -> None:
    with servers.database(kind) as url:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/django_adapter/test_enumeration.py",
            ],
            cwd=ROOT,
            env={**os.environ, "PHONE_VERIFY_TEST_DATABASE": url},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout[-3000:]
