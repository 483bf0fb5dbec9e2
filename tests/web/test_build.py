"""The files that the build makes. It works on a copy, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hatch_build import compile_catalogues, generate
from phone_verify.i18n.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
PLACES = sorted(
    f"{place}/{tag}/LC_MESSAGES/{domain}"
    for place, domain in (("phone_verify/i18n/locale", "phone_verify"), ("phone_verify_django/locale", "django"))
    for tag in LANGUAGES
    if tag != "en"
)
PAGES = "phone_verify_flask/templates/phone_verify"
#: The browser client, joined from its sources.
CLIENT = "phone_verify/web/static/phone-verify-client.js"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources as in a checkout."""
    kept = shutil.ignore_patterns("*.mo", "__pycache__", "var")
    for name in ("phone_verify", "phone_verify_django", "phone_verify_flask", "example_projects"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=kept)
    for page in (tmp_path / PAGES).iterdir():
        if page.name != "macros.html":
            page.unlink()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def flask_pages() -> set[str]:
    """Django's pages but for its own form, and Flask's macros."""
    pages = {path.name for path in (ROOT / "phone_verify_django/templates/phone_verify").iterdir()}
    return pages - {"signup.html"} | {"macros.html"}


def built(copy: Path, verb: str) -> Path:
    out = copy / "dist"
    out.mkdir(exist_ok=True)
    program = f"import hatchling.build as build; print(build.{verb}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.mark.slow
def test_wheel_holds_the_generated_files(copy: Path) -> None:
    first = built(copy, "build_wheel")
    content = first.read_bytes()
    with zipfile.ZipFile(first) as wheel:
        assert sorted(name for name in wheel.namelist() if name.endswith(".mo")) == [f"{place}.mo" for place in PLACES]
        assert not [name for name in wheel.namelist() if name.endswith(".po")]
        assert "hatch_build.py" not in wheel.namelist()
        assert b"import " not in wheel.read(CLIENT).replace(b"import(", b"").replace(b"import.meta", b"")
        assert {name.removeprefix(f"{PAGES}/") for name in wheel.namelist() if name.startswith(PAGES)} == flask_pages()
    for place in PLACES:
        (copy / f"{place}.mo").unlink()
    # Reproducible: the same sources make the same wheel at another time.
    assert built(copy, "build_wheel").read_bytes() == content
    assert all(b"POT-Creation-Date: 1980-01-01" in (copy / f"{place}.mo").read_bytes() for place in PLACES)


def test_editable_install_makes_the_generated_files(copy: Path) -> None:
    built(copy, "build_editable")
    assert {path.name for path in (copy / PAGES).iterdir()} == flask_pages()
    assert all((copy / f"{place}.mo").stat().st_size > 1000 for place in PLACES)


def test_outdated_files_are_made_again(copy: Path) -> None:
    fresh = {path: path.read_bytes() for path in generate(copy)}
    for old in (next(iter(fresh)), copy / PAGES / "base.html", copy / CLIENT):
        old.write_bytes(b"older")
    assert {path: path.read_bytes() for path in generate(copy)} == fresh
    assert {path.suffix for old in fresh for path in old.parent.iterdir()} == {
        ".po", ".mo", ".html", ".css", ".js", ".ts",
    }  # fmt: skip


def test_unreadable_translation_stops_the_build(copy: Path) -> None:
    with (copy / f"{PLACES[0]}.po").open("a") as file:
        file.write('\nmsgid "unfinished\n')
    with pytest.raises(ValueError, match=r"phone_verify\.po, line \d+: "):
        list(compile_catalogues(copy))
