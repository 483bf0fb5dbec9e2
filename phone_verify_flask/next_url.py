"""Validation of `next` URLs."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

_LONGEST_NEXT = 1024


def safe_next(target: str, host: str, public_url: str | None = None, home: str | None = None) -> str:
    """Return the path of `target` if it is on this site, else an empty string.

    Accepted are a path that begins with exactly one slash, and an http(s) URL of this host, of which only the path is
    returned, so that every browser stays on the site. Backslashes, which browsers read as slashes, and control
    characters, which they drop, are refused in any position. A URL below `home`, the origin of the rest of the site if
    the pages are on a subdomain, is returned whole.
    """
    if len(target) > _LONGEST_NEXT or any(c == "\\" or unicodedata.category(c) in ("Cc", "Cs") for c in target):
        return ""
    if home is not None and target[: len(home)].lower() == home.lower() and target[len(home) :][:1] in ("", "/"):
        path = target[len(home) :] or "/"
        return home + path if not path.startswith("//") else ""
    hosts = [host, urlsplit(public_url).netloc] if public_url else [host]
    for origin in (f"{scheme}://{name}" for scheme in ("http", "https") for name in hosts if name):
        if target[: len(origin)].lower() == origin.lower() and target[len(origin) :][:1] in ("", "/"):
            target = target[len(origin) :] or "/"
            break
    return target if target.startswith("/") and not target.startswith("//") else ""
