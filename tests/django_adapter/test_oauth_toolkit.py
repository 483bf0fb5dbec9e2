"""docs/oauth.md, "Django", taken literally: a new project with its lines, and journeys on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import BARE

from . import projects

pytest.importorskip("oauth2_provider")

JOURNEYS = Path(__file__).parent / "bridges" / "oauth_journeys.py"


@pytest.mark.slow
def test_every_journey_passes(pytester: pytest.Pytester) -> None:
    projects.start(pytester.path)
    for name, text in projects.files(projects.section("oauth.md", "Django")):
        projects.write(pytester.path, name, text)
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(JOURNEYS, pytester.path / "test_journeys.py")
    done = pytester.runpytest_subprocess(*BARE, "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 42
