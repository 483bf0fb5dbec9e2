"""docs/tokens.md, the sections for Django, taken literally: a new project with their lines, and journeys on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import BARE

from . import projects

pytest.importorskip("rest_framework")

JOURNEYS = Path(__file__).parent / "bridges" / "token_journeys.py"
SECTIONS = ("Django with Simple JWT", "Django without another package", "Ending tokens")


@pytest.mark.slow
def test_every_journey_passes(pytester: pytest.Pytester) -> None:
    projects.start(pytester.path)
    for heading in SECTIONS:
        for name, text in projects.files(projects.section("tokens.md", heading)):
            projects.write(pytester.path, name, text)
    # The heading's line is "# shop/revoke.py, imported from …".
    [revoke] = [b.text for b in projects.blocks(projects.section("tokens.md", "Ending tokens"))]
    projects.write(pytester.path, "shop/revoke.py", revoke)
    pytester.makeini(f"[pytest]\nDJANGO_SETTINGS_MODULE = {projects.NAME}.settings\n")
    pytester.makeconftest('pytest_plugins = ["phone_verify.testing.plugin"]\n')
    shutil.copy(JOURNEYS, pytester.path / "test_journeys.py")
    done = pytester.runpytest_subprocess(*BARE, "-W", "error", "-q")
    assert done.ret == 0
    assert done.parseoutcomes()["passed"] >= 8
