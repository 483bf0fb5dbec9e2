"""Build hook: compiles the translations, copies the pages' templates from Django to Flask, and joins the client.

The results are not in the repository. A wheel and an editable install (`pip install -e .`) make them;
the tests make them anew in each run, so that no test passes with an outdated one.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from rjsmin import jsmin

#: The packages with translations.
_TRANSLATED = ("phone_verify", "phone_verify_django")


#: The pages of both frameworks: Django's engine and Jinja read the same text.
_TEMPLATES, _COPIES = "phone_verify_django/templates/phone_verify", "phone_verify_flask/templates/phone_verify"
#: Pages of Django only: they show a form of Django's.
_ONLY_DJANGO = frozenset({"signup.html"})

#: The modules of the client in the order of their imports, the one file that is served, and its public names.
_CLIENT_SOURCES = ("digits", "dom", "number_field", "problem", "watch", "form", "api", "element")
_CLIENT, _CLIENT_FILE = "phone_verify/web/client", "phone_verify/web/static/phone-verify-client.js"
_CLIENT_EXPORTS = ("PhoneVerifyClient", "PhoneVerifyElement", "PhoneVerifyError", "enhance", "watch")
_IMPORT, _EXPORT = re.compile(r'^import .*? from "\./\w+\.js";$', re.MULTILINE), re.compile(r"^export ", re.MULTILINE)


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
    yield make_client(root)


def make_client(root: Path) -> Path:
    """Join the modules of the client into one without comments and white space; return its path."""
    sources = [(root / _CLIENT / f"{name}.js").read_text("utf-8") for name in _CLIENT_SOURCES]
    joined = "\n".join(_EXPORT.sub("", _IMPORT.sub("", source)) for source in sources)
    target = root / _CLIENT_FILE
    _write(target, jsmin(f"{joined}\nexport {{ {', '.join(_CLIENT_EXPORTS)} }};\n").encode())
    return target


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
