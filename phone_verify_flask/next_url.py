"""Which `next` addresses are followed."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

_LONGEST_NEXT = 1024


def safe_next(target: str, host: str, public_url: str | None = None, home: str | None = None) -> str:
    """The path of `target` if that is a place on this site, else an empty text.

    Accepted are a path that begins with exactly one slash, and an http(s) address of this very host, of which only the
    path is returned: whatever a browser makes of it, it stays on the site. Backslashes, which browsers read as slashes,
    and control characters, which they drop, are refused wherever they stand. An address below `home`, the origin of the
    rest of the site where our pages have a subdomain of their own, is returned whole.
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
