"""Access rules of a sandbox. It has no passwords, so these rules keep other web pages out of it.

A web page can make a browser send requests to a loopback address, or point its own host name at a
loopback address. The first is detected by `Sec-Fetch-Site` and `Origin`, the second by the `Host`
header.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from werkzeug.wrappers import Request

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.\-]+)(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def is_loopback(name: str) -> bool:
    """Return whether a host name or address means this machine, by its text alone."""
    bare = name.lower().removeprefix("[").removesuffix("]")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def is_known_host(header: str | None, names: frozenset[str]) -> bool:
    """Return whether a `Host` header names this machine, or one of the configured `names`."""
    match = _HOST.fullmatch(header or "")
    return match is not None and (is_loopback(match["name"]) or match["name"].lower() in names)


def is_cross_site(request: Request) -> bool:
    """Return whether another site's page sent this request from a browser."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin != f"{request.scheme}://{request.host}"


def local_site(url: str) -> tuple[str, str] | None:
    """Return origin and full text of a plain HTTP address on this machine, rebuilt from its parts;
    None for others.
    """
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or "@" in parts.netloc or not name or not is_loopback(name):
        return None
    if not _HOST.fullmatch(f"[{name}]" if ":" in name else name):
        return None
    host = f"[{name}]" if ":" in name else name
    origin = f"http://{host}" if port is None else f"http://{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return origin, f"{origin}{parts.path or '/'}{query}"
