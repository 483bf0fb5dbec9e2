"""The style sheet and the script, served by both adapters under their mount.

This needs no build step and no static files app.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_TYPES = {"phone_verify.css": "text/css; charset=utf-8", "phone_verify.js": "text/javascript; charset=utf-8"}


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """Return content and media type of one of our files, or None if it does not exist."""
    if name not in _TYPES:
        return None
    return files(__package__).joinpath("static", name).read_bytes(), _TYPES[name]
