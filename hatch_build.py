"""Build hook: compiles every `.po` file into the catalogue that the library reads.

Catalogues are not in the repository. A wheel and an editable install (`pip install -e .`) compile them; the tests
recompile them in each run, so that no test passes with an outdated one.
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


class CompileCatalogues(BuildHookInterface):
    """The hook that Hatch calls before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the catalogues. Git ignores them, so they are added to the wheel as artifacts."""
        for path in compile_catalogues(Path(self.root)):
            build_data["artifacts"].append(f"/{path.relative_to(self.root).as_posix()}")


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
        if not target.exists() or target.read_bytes() != compiled.getvalue():
            _replace(target, compiled.getvalue())
        yield target


def _replace(target: Path, content: bytes) -> None:
    # Atomic: a site may be reading it.
    handle, draft = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(draft, 0o644)
    os.replace(draft, target)
