"""docs/bridges.md, "Django REST framework", by the letter: a new project with its lines, and visits to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from . import projects

pytest.importorskip("rest_framework")

VISITS = Path(__file__).parent / "bridges" / "drf_visits.py"


def test_every_visit(pytester: pytest.Pytester) -> None:
    projects.start(pytester.path)
    for name, text in projects.files(projects.section("bridges.md", "Django REST framework")):
        projects.write(pytester.path, name, text)
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(VISITS, pytester.path / "test_visits.py")
    done = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 25
