"""A check of the built site: links lead to its pages, anchors and files, and no page fetches from another host."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

#: Elements that a browser fetches by itself, and the attribute that says from where.
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
#: A `link` of these kinds is only followed by readers and robots.
_NOT_FETCHED = {"canonical", "prev", "next", "alternate", "edit"}


def problems(site: Path) -> list[str]:
    """Return what is wrong with the site in this folder, one line each."""
    pages = {page: _read(page) for page in sorted(site.rglob("*.html"))}
    return [
        f"{page.relative_to(site)}: {problem}"
        for page, read in pages.items()
        for problem in _problems_of(page, read, site, pages)
    ]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.unnamed_images = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt"):
            self.unnamed_images += 1
        source = values.get(_FETCHED.get(tag, ""))
        if source and not (tag == "link" and values.get("rel") in _NOT_FETCHED):
            self.fetched.append(source)


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return page


def _problems_of(page: Path, read: _Page, site: Path, pages: dict[Path, _Page]) -> Iterator[str]:
    if read.unnamed_images:
        yield f"{read.unnamed_images} images without a text"
    for link in read.fetched:
        if urlsplit(link).scheme not in ("", "data") or link.startswith("//"):
            yield f"fetches {link} from another host"
    for link in [*read.links, *read.fetched]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        address, anchor = urldefrag(link)
        target = _target(page, unquote(urlsplit(address).path), site)
        if not target.exists():
            yield f"{link} leads nowhere"
        elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
            yield f"{link} names no anchor"


def _target(page: Path, path: str, site: Path) -> Path:
    # Addresses without a relative path are those of the 404 page, which can be shown at any depth.
    place = site / path.lstrip("/") if path.startswith("/") else page.parent / path if path else page
    place = place.resolve()
    return place / "index.html" if place.is_dir() else place
