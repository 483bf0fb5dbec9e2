"""Build hook: compiles the translations, and copies the pages' templates from Django's adapter to Flask's.

The catalogues and the copies are not in the repository. A wheel and an editable install (`pip install -e .`) make them;
the tests make them anew in each run, so that no test passes with an outdated one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The packages with translations.
_TRANSLATED = ("phone_verify", "phone_verify_django")


#: The pages of both frameworks: Django's engine and Jinja read the same text.
_TEMPLATES, _COPIES = "phone_verify_django/templates/phone_verify", "phone_verify_flask/templates/phone_verify"
#: Pages of Django only: they show a form of Django's.
_ONLY_DJANGO = frozenset({"signup.html"})


class GeneratedFiles(BuildHookInterface):
    """The hook that Hatch calls before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the files. Git ignores them, so they are added to the wheel as artifacts."""
        for path in generate(Path(self.root)):
            build_data["artifacts"].append(f"/{path.relative_to(self.root).as_posix()}")


def generate(root: Path) -> Iterator[Path]:
    """Make every file that a build adds to the repository's; return the paths."""
    yield from compile_catalogues(root)
    yield from copy_templates(root)


def copy_templates(root: Path) -> Iterator[Path]:
    """Copy the pages' templates to Flask's adapter; return the paths."""
    for source in sorted((root / _TEMPLATES).glob("*.html")):
        if source.name not in _ONLY_DJANGO:
            target = root / _COPIES / source.name
            _write(target, source.read_bytes())
            yield target


def compile_catalogues(root: Path) -> Iterator[Path]:
    """Compile every `.po` of our packages; return the paths. Raises ValueError for a malformed one."""
    for source in sorted(path for package in _TRANSLATED for path in (root / package).rglob("*.po")):
        target = source.with_suffix(".mo")
        try:
            with source.open("rb") as file:
                catalogue = read_po(file, abort_invalid=True)
        except PoFileError as error:
            raise ValueError(f"{source}, line {error.lineno}: {error}") from None
        catalogue.creation_date = datetime(1980, 1, 1, tzinfo=UTC)  # not the current time: builds are reproducible
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        _write(target, compiled.getvalue())
        yield target


def _write(target: Path, content: bytes) -> None:
    if target.exists() and target.read_bytes() == content:
        return
    # Atomic: a site may be reading it.
    handle, draft = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(draft, 0o644)
    os.replace(draft, target)
