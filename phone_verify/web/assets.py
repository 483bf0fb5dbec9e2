"""The style sheet and the script, served by both adapters under their mount.

This needs no build step and no static files app.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from ..http.brand import Brand

_TYPES = {"phone_verify.css": "text/css; charset=utf-8", "phone_verify.js": "text/javascript; charset=utf-8"}
#: The style sheet of the site's settings.
BRAND_STYLE = "brand.css"


def site_asset(name: str, brand: Brand) -> tuple[bytes, str] | None:
    """Return one of our files, or the style sheet of the site's settings, as `asset` does."""
    if name == BRAND_STYLE and brand.styled:
        return brand.style_sheet().encode(), _TYPES["phone_verify.css"]
    return asset(name)


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """Return content and media type of one of our files, or None if it does not exist."""
    if name not in _TYPES:
        return None
    return files(__package__).joinpath("static", name).read_bytes(), _TYPES[name]
