"""The benchmark of concurrent starts ends, and loses none of them, also with few files open to a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

for _package in ("aiohttp", "django", "dj_database_url", "uvicorn"):
    pytest.importorskip(_package)

ROOT = Path(__file__).parents[1]
STARTS = 60
#: Without the machine's servers, whose data belongs to others, and with a provider that takes a fifth of a second.
COMMAND = """
import resource
from functools import partial

from benchmarks import concurrent_starts
from benchmarks.servers import Servers

Servers.found = classmethod(lambda cls: cls(postgresql=False, mariadb=False, redis=False))
concurrent_starts.provider = partial(concurrent_starts.provider, 0.2)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
concurrent_starts.main()
"""


def test_benchmark_of_concurrent_starts_loses_none() -> None:
    """More starts than the limit of open files allows: each takes a connection to the site and one to the provider."""
    command = [sys.executable, "-c", COMMAND, "--starts", str(STARTS), "--waves", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert [figure["name"].partition(" MB")[0].rpartition(";")[0] for figure in figures] == [
        f"{STARTS} starts at once, {site} (0 failed" for site in ("core, memory", "Django, SQLite by the ORM")
    ], done.stdout
    assert [wave["results"] for figure in figures for wave in figure["notes"]["waves"]] == [{"sent": STARTS}] * 2
