"""docs/bridges.md, "django-allauth", taken literally: a new project with its lines, and journeys on it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import BARE

from . import projects

pytest.importorskip("allauth")

JOURNEYS = Path(__file__).parent / "bridges" / "allauth_journeys.py"


@pytest.fixture
def site(pytester: pytest.Pytester) -> pytest.Pytester:
    projects.start(pytester.path)
    for name, text in projects.files(projects.section("bridges.md", "django-allauth")):
        projects.write(pytester.path, name, text)
    # A file: writes outside a request's transaction use a second connection.
    projects.write(
        pytester.path, f"{projects.NAME}/settings.py", 'DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}\n'
    )
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(JOURNEYS, pytester.path / "test_journeys.py")
    return pytester


@pytest.mark.slow
def test_every_journey_passes(site: pytest.Pytester) -> None:
    done = site.runpytest_subprocess(*BARE, "-W", "error", "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 40


@pytest.mark.slow
def test_no_migration_is_missing(site: pytest.Pytester) -> None:
    for command in (["makemigrations", "--check", "--dry-run"], ["check", "--fail-level", "WARNING"]):
        assert site.run(sys.executable, "-W", "error", "manage.py", *command).ret == 0
