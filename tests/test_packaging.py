"""The distribution: its metadata, the sdist, and the commands that install from a checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml

import phone_verify
from tests.cases import in_one_test

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
#: The files with commands that install from a checkout.
COMMANDS = ["README.md", "CONTRIBUTING.md", "Makefile", ".ci/run", ".ci/matrix", "docs/demo.md"]
#: Files that a checkout has and Git ignores.
IGNORED = re.compile(r"/(__pycache__|var|\.[a-z_]+_cache)/|\.(mo|pyc)$|\.sqlite3")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist of this checkout."""
    out = tmp_path_factory.mktemp("sdist")
    program = f"import hatchling.build as build; print(build.build_sdist({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-xzf", done.stdout.split()[-1]], cwd=out, check=True, timeout=120)
    return out / f"phone_verify-{phone_verify.__version__}"


@pytest.fixture(scope="module")
def metadata(sdist: Path) -> Message:
    return Parser().parsestr((sdist / "PKG-INFO").read_text("utf-8"))


@pytest.mark.slow
def test_sdist_is_complete(sdist: Path) -> None:
    """Every file of the source folders is in it, with all that its commands name."""
    for folder in ("phone_verify", "phone_verify_django", "phone_verify_flask", "tests", "docs", "docsite", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            generated = name.startswith("phone_verify_flask/templates/phone_verify/") or name.endswith("-client.js")
            if path.is_file() and not generated and not IGNORED.search(f"/{name}"):
                assert (sdist / name).is_file(), name
    for name in ("Makefile", *re.findall(r"(?<![\w/])\.ci/\w+(?:\.py)?|\w+\.txt", (sdist / "Makefile").read_text())):
        assert (sdist / name).is_file(), name


@pytest.mark.slow
def test_tests_run_from_the_sdist(sdist: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/test_layering.py", "tests/core/test_codes.py"]
    done = subprocess.run(words, cwd=sdist, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_metadata_describes_the_package(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier")
    assert classifiers is not None
    for wanted in (
        "Framework :: Django :: 5.2",
        "Framework :: Django :: 6.1",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Typing :: Typed",
    ):
        assert wanted in classifiers
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL") or ())
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Issues", "Changelog", "Security"}
    assert all(url.startswith("https://") for url in urls.values())


def test_readme_has_no_relative_link(metadata: Message) -> None:
    """An index shows it without the rest of the repository."""
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)|(?:src|href)=\"([^\"]+)\"", text, re.MULTILINE)
    found = [target for groups in targets for target in groups if target]
    assert len(found) > 20
    assert [target for target in found if not target.startswith(("https://", "#"))] == []


def test_groups_for_contributors_are_not_extras() -> None:
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    assert not extras.keys() & groups.keys()
    assert groups.keys() == {"test", "docs", "lint"}
    # Without `-e .` pip would look for the name in an index.
    assert not [each for group in groups.values() for each in group if "phone-verify" in str(each)]


def test_extra_all_contains_every_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]

    def included(name: str) -> set[str]:
        inner = re.findall(r"phone-verify\[([\w,]+)\]", " ".join(extras[name]))
        return {name}.union(*(included(each) for names in inner for each in names.split(",")))

    assert included("all") == extras.keys()


def test_page_lists_every_extra() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ", (ROOT / "docs" / "versions.md").read_text("utf-8"), re.MULTILINE)
    extras = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(extras) == sorted(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_install_what_exists(name: str) -> None:
    """A group needs pip 25.1, which a new environment may not have."""
    text = (ROOT / name).read_text("utf-8")
    for extras in re.findall(r"-e '\.\[([\w,]+)\]'", text):
        assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    groups = re.findall(r"--group (\w+)", text)
    assert set(groups) <= PROJECT["dependency-groups"].keys()
    if groups:
        assert "'pip>=25.1'" in text[: text.index("--group ")]


def test_module_runs_as_a_program(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "phone_verify", "--version"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert phone_verify.__version__ in done.stdout


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_form_asks_for_no_secret(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert {"name", "description", "labels", "body"} == form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["type"] in ("textarea", "input") and field["attributes"]["label"] for field in fields)
    if name == "bug":
        assert "SECURITY.md" in form["body"][0]["attributes"]["value"]


@in_one_test
@pytest.mark.parametrize(
    "page",
    sorted({*(ROOT / "docs").rglob("*.md")} - {*(ROOT / "docs/decisions").glob("*.md")}),
    ids=lambda page: page.name,
)
def test_documented_extras_exist(page: Path) -> None:
    for extras in re.findall(r"phone-verify\[([\w,]+)\]", page.read_text("utf-8")):
        assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
