"""The style sheet, the scripts, the client and the metadata of numbers, served by both adapters under their mount.

This needs no build step and no static files app.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

from ..http.site import Site
from ..i18n.texts import example_number
from ..phone.formats import calling_codes_of, formats_of
from .client_settings import client_settings

_SCRIPT_TYPE, _JSON = "text/javascript; charset=utf-8", "application/json"
_TYPES = {
    "phone_verify.css": "text/css; charset=utf-8",
    "phone_verify.js": _SCRIPT_TYPE,
    "phone-verify-client.js": _SCRIPT_TYPE,
    "phone-verify-client.d.ts": "application/typescript; charset=utf-8",
}
#: The style sheet of the site's settings.
BRAND_STYLE = "brand.css"
#: The module of the client, and what its element reads.
CLIENT, _CLIENT_SETTINGS = "phone-verify-client.js", "phone-verify-client.json"
#: The calling codes of the regions that the site serves; `regions/IR.json` is the metadata of one.
REGIONS, _REGION = "regions.json", "regions/"


def site_asset(name: str, site: Site, query: Mapping[str, str] | None = None) -> tuple[bytes, str] | None:
    """Return one of our files as `asset` does, or a file that the site's settings make.

    `query` is that of the request: the settings of the element have a `lang` and a `purpose`.
    """
    if name == BRAND_STYLE and site.brand.styled:
        return site.brand.style_sheet().encode(), _TYPES["phone_verify.css"]
    if name == _CLIENT_SETTINGS:
        wanted = query or {}
        return client_settings(site, wanted.get("lang", ""), wanted.get("purpose", "")), _JSON
    if name == REGIONS:
        return _region_list(site.regions), _JSON
    region = name.removeprefix(_REGION).removesuffix(".json")
    if name == f"{_REGION}{region}.json" and region in site.regions:
        return _region(region), _JSON
    return asset(name)


def asset_headers(site: Site, name: str, origin: str | None) -> Mapping[str, str]:
    """Return the headers with which a page of another origin may import the client.

    `origin` is the request's header. Scripts of type `module` and `fetch` need them; our other files are
    for our own pages. An adapter adds `Vary` to that of the framework. Metadata of numbers holds nothing
    of a visitor, so anyone may cache it; its address has no version.
    """
    is_metadata = name == REGIONS or name.startswith(_REGION)
    if not is_metadata and not name.startswith("phone-verify-client."):
        return {}
    allowed = {"Access-Control-Allow-Origin": origin} if origin in site.trusted_origins and origin is not None else {}
    return {"Vary": "Origin", **allowed, **({"Cache-Control": "public, max-age=3600"} if is_metadata else {})}


def asset(name: str) -> tuple[bytes, str] | None:
    """Return content and media type of one of our files, or None if it does not exist."""
    return (_content(name), _TYPES[name]) if name in _TYPES else None


@cache
def _content(name: str) -> bytes:
    # Only for names in `_TYPES`: any other name is a visitor's, and would be kept for ever.
    return files(__package__).joinpath("static", name).read_bytes()


@lru_cache(maxsize=64)
def _region_list(regions: tuple[str, ...]) -> bytes:
    return _compact(calling_codes_of(regions))


@cache
def _region(region: str) -> bytes:
    return _compact(formats_of(region, (example_number(region), example_number(region, national=False))))


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
