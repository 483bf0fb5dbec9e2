"""docs/testing.md taken literally: its blocks are files of a site, and its tests pass there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from phone_verify.sandbox import read_scenario
from tests.conftest import BARE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def blocks(text: str, heading: str, language: str = "python") -> list[str]:
    """Return the code blocks of one section."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def write_files(pytester: pytest.Pytester, heading: str) -> None:
    """Write the section's blocks as the files that their first lines name."""
    for block in blocks(PAGE, heading):
        name, body = re.match(r"# (\S+\.py)\n(.*)", block, re.DOTALL).groups()  # type: ignore[union-attr]
        (pytester.path / name).write_text(body)


@pytest.fixture
def django_site(pytester: pytest.Pytester) -> pytest.Pytester:
    """A new Django project with the README's five minutes in it, and the conftest of the page."""
    (program,) = blocks(README, "Django in five minutes")
    chosen, routes = re.split(r"^# urls\.py\n", program, flags=re.MULTILINE)
    start = [sys.executable, "-m", "django", "startproject", "site5", str(pytester.path)]
    subprocess.run(start, check=True, timeout=60)
    for name, text in (
        ("settings", chosen.replace("INSTALLED_APPS = [", "INSTALLED_APPS += [")),
        ("urls", routes.replace("urlpatterns = [", "urlpatterns += [")),
    ):
        with (pytester.path / "site5" / f"{name}.py").open("a") as module:
            module.write(text)
    pytester.makeini("[pytest]\nDJANGO_SETTINGS_MODULE = site5.settings\npython_files = test_*.py\n")
    write_files(pytester, "Use the outbox on Django")
    return pytester


def passed(pytester: pytest.Pytester, count: int) -> None:
    pytester.runpytest_subprocess(*BARE, "-W", "error").assert_outcomes(passed=count)


@pytest.mark.slow
def test_documented_django_tests_pass(django_site: pytest.Pytester) -> None:
    write_files(django_site, "Use the sandbox")
    write_files(django_site, "Test without pytest")
    passed(django_site, 7)


@pytest.mark.slow
def test_documented_flask_tests_pass(pytester: pytest.Pytester) -> None:
    (program,) = blocks(README, "Flask in five minutes")
    made, rest = program.split("app = Flask(__name__)\n")
    body = "".join(f"    {line}\n" if line else "\n" for line in rest.splitlines())
    body = body.replace('    app.config["PHONE_VERIFY_SMS"] = "console://"\n', "    app.config.update(settings)\n")
    factory = f"{made}\ndef create_app(**settings):\n    app = Flask(__name__)\n{body}    return app\n"
    (pytester.path / "shop.py").write_text(factory)
    write_files(pytester, "Use the outbox on Flask")
    # Flask-Login's own warning, which this project's settings let pass too.
    pytester.makeini("[pytest]\nfilterwarnings = ignore:datetime:DeprecationWarning:flask_login.login_manager\n")
    pytester.runpytest_subprocess(*BARE).assert_outcomes(passed=1)


def test_scenario_can_be_played() -> None:
    (scenario,) = blocks(PAGE, "Write scenarios", "yaml")
    assert len(read_scenario(scenario).faults) == 2


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)", PAGE))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / "docs" / path).exists()
