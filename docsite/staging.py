"""The folder that MkDocs builds: the pages of `docs/`, the project's own pages, and the generated ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from phone_verify.api.openapi import openapi
from phone_verify.drivers.dsn import schemes

from . import http_api, reference
from .blocks import ROOT, current
from .page_links import PROJECT_PAGES, QUICK_STARTS, on_site
from .provider_links import PAGES, with_provider_links
from .provider_pages import provider_page


def stage(target: Path) -> None:
    """Replace `target` with everything that the site is built from."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target)
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT).as_posix()
        text = on_site(current(page.read_text("utf-8")), name)
        _write(target, name.removeprefix("docs/"), with_provider_links(text) if name in PAGES else text)
    for name, place in PROJECT_PAGES.items():
        _write(target, place, on_site((ROOT / name).read_text("utf-8"), name))
    for anchor, place in QUICK_STARTS.items():
        _write(target, place, on_site(_section(anchor), "README.md"))
    for place, text in reference.pages():
        _write(target, place, text)
    for scheme in schemes():
        if not (ROOT / "docs" / "providers" / f"{scheme}.md").exists():
            _write(target, f"providers/{scheme}.md", provider_page(scheme))
    document = openapi()
    _write(target, "http_api.md", http_api.page(document))
    _write(target, "openapi.json", json.dumps(document, indent=2))


def _section(anchor: str) -> str:
    """Return the section of the README that has this anchor as a page, with all link targets."""
    text = (ROOT / "README.md").read_text("utf-8")
    links = "\n".join(line for line in text.splitlines() if re.match(r"\[[\w-]+\]: ", line))
    for section in text.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        if heading.lower().replace(" ", "-") == anchor:
            return f"# {heading}\n{body}\n{links}\n"
    raise ValueError(f"README.md has no section #{anchor}")


def _write(target: Path, name: str, text: str) -> None:
    place = target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
