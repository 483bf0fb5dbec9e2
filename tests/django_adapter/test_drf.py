"""docs/bridges.md, "Django REST framework", taken literally: a new project with its lines, and journeys on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import BARE

from . import projects

pytest.importorskip("rest_framework")

JOURNEYS = Path(__file__).parent / "bridges" / "drf_journeys.py"


@pytest.mark.slow
def test_every_journey_passes(pytester: pytest.Pytester) -> None:
    projects.start(pytester.path)
    for name, text in projects.files(projects.section("bridges.md", "Django REST framework")):
        projects.write(pytester.path, name, text)
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(JOURNEYS, pytester.path / "test_journeys.py")
    done = pytester.runpytest_subprocess(*BARE, "-W", "error", "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 25
