"""Requests webhook URLs by GET, as the providers do.

Only hosts on this machine and configured hosts are contacted, so that a sandbox cannot be used to
reach into a network. Redirects are not followed, proxies are not used.
"""

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from phone_verify.sandbox.guard import is_loopback

_TIMEOUT = 5.0
_URL_CHARACTERS = "%/:?=&;+,!$'()*@~-._"

#: Requests a URL and returns the HTTP status, None if there was no response.
AskUrl = Callable[[str], int | None]


def asker(names: frozenset[str]) -> AskUrl:
    """Return a function that requests URLs on this machine or on one of the hosts in `names`."""

    def ask(url: str) -> int | None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        if not (is_loopback(host) or host in names):
            return None
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        target = quote(f"{parts.path or '/'}?{parts.query}", safe=_URL_CHARACTERS)
        connection = kind(host, port, timeout=_TIMEOUT)
        try:
            connection.request("GET", target, headers={"User-Agent": "phone-verify-sandbox"})
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    return ask
