"""The documentation's own examples pass mypy with strict rules.

Checked are the Python blocks that are whole files, page by page. Examples are written without
annotations, so functions without them are allowed; their bodies are checked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.django_adapter.projects import ROOT, files

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
#: Not whole: they continue what `startproject` writes, or are tests of a site.
_CONTINUED = re.compile(r"(settings|production|urls|conftest|test_\w+)\.py$")

_CONFIG = """
[mypy]
strict = True
allow_untyped_defs = True
allow_incomplete_defs = True
allow_untyped_calls = True
allow_untyped_decorators = True
check_untyped_defs = True
ignore_missing_imports = True
# Of other packages: bases without types, models that are looked up by name, generic forms without arguments.
# And `x = {}`.
disable_error_code = misc, name-defined, type-arg, import-untyped, var-annotated
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = tests.django_adapter.settings
"""

#: What mypy reports because it knows neither the page's user model nor its database.
_KNOWN = {
    "accounts.md": ['"AbstractBaseUser" has no attribute "groups"'],
    "flask.md": ['Module "flask_security.models.fsqla_v3" does not explicitly export attribute "FsModels"'],
    "migrating.md": ['"User" has no attribute "mobile"'],
}


def examples(page: Path) -> list[tuple[str, str]]:
    """Return the page's Python files, names and texts; none if no one is whole."""
    found = [(name, text) for name, text in files(page.read_text("utf-8")) if name.endswith(".py")]
    return found if any(not _CONTINUED.search(name) for name, _ in found) else []


def states(found: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Yield the files before each replacement, and at the end."""
    state: dict[str, str] = {}
    for name, text in found:
        if name in state and not _CONTINUED.search(name):
            yield dict(state)
        state[name] = text
    yield state


def errors(folder: Path, found: Mapping[str, str], cache: Path) -> list[str]:
    """Return mypy's errors in these files, without their places."""
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "mypy.ini").write_text(_CONFIG)
    wanted = [name for name in found if not _CONTINUED.search(name)]
    words = [
        "--config-file",
        "mypy.ini",
        "--explicit-package-bases",
        "--follow-imports",
        "silent",
        "--cache-dir",
        cache,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, *wanted],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [
        line.partition(" error: ")[2].rpartition("  [")[0] for line in done.stdout.splitlines() if " error: " in line
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_examples_pass_mypy(page: Path, tmp_path: Path, cache: Path) -> None:
    *replaced, last = states(examples(page))
    for state in replaced:
        assert errors(tmp_path, state, cache) == []
    assert errors(tmp_path, last, cache) == _KNOWN.get(page.name, [])


@pytest.mark.slow
def test_example_of_the_package_passes_mypy(tmp_path: Path, cache: Path) -> None:
    import phone_verify

    lines = re.findall(r"^    (.*)$", str(phone_verify.__doc__), re.MULTILINE)
    head = "import os\nfrom phone_verify import PhoneNumber, Settings, Started, build_site\n"
    program = head + "\n".join(lines) + "\n"
    assert errors(tmp_path, {"program.py": program}, cache) == []
    # A wrong one is found.
    assert errors(tmp_path, {"program.py": program.replace('"482913"', "482913")}, cache) != []
