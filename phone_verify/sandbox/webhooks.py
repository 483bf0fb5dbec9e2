"""Requests to webhook URLs, as the providers send them: by GET or with a body, signed or not.

Only hosts on this machine and configured hosts are contacted, so that a sandbox cannot be used to
reach into a network. Redirects are not followed, proxies are not used.
"""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from phone_verify.sandbox.guard import is_loopback

_TIMEOUT = 5.0
#: A longer reply is cut off, so that it is not valid JSON.
_LONGEST_REPLY = 16 * 1024
_URL_CHARACTERS = "%/:?=&;+,!$'()*@~-._"
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

#: How a fault spoils the signature of a webhook: with another key, with an old time, or none.
Forgery = Literal["wrong_key", "stale", "unsigned"]
FORGERIES: Final[tuple[Forgery, ...]] = ("wrong_key", "stale", "unsigned")
#: Names and values; pairs where a name is repeated.
Fields = Mapping[str, object] | Sequence[tuple[str, object]]
#: The age of a stale signature: more than any receiver tolerates.
STALE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hook:
    """A request to a site's webhook, signed at the time when it is sent.

    `sign` turns the request, the time and the key into the signed request; it adds a header, or
    replaces URL or body where the signature is one of their fields.
    """

    url: str = field(repr=False)
    method: str = "GET"
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    sign: "Callable[[Hook, datetime, str], Hook] | None" = field(default=None, repr=False)
    key: str = field(default="", repr=False)
    #: Seconds before each repetition, while the site does not accept the request: a status other than
    #: 200, or without `acknowledgement` as the text of its response.
    repeats: tuple[float, ...] = ()
    acknowledgement: bytes | None = None

    @classmethod
    def with_query(cls, url: str, fields: Fields) -> "Hook":
        """Return a GET request with these fields appended to the URL's own query."""
        return cls(f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}")

    @classmethod
    def with_form(cls, url: str, fields: Fields) -> "Hook":
        """Return a POST request with these fields as a form."""
        return cls(url, "POST", FORM, urlencode(fields).encode())

    @classmethod
    def with_json(cls, url: str, value: object) -> "Hook":
        """Return a POST request with this value as JSON."""
        return cls(url, "POST", JSON, json.dumps(value, separators=(",", ":")).encode())

    def signed_by(self, sign: "Callable[[Hook, datetime, str], Hook]", key: str) -> "Hook":
        """Return the request with the recipe and the key of its signature."""
        return replace(self, sign=sign, key=key)

    def with_headers(self, **headers: str) -> "Hook":
        """Return the request with further headers; `_` in a name stands for `-`."""
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers=MappingProxyType({**self.headers, **added}))

    def is_accepted(self, reply: "Reply | None") -> bool:
        """Return whether this response ends the repetitions."""
        if reply is None or reply.status != 200:
            return False
        return self.acknowledgement in (None, reply.body.strip())

    def at(self, now: datetime, forgery: Forgery | None = None) -> "Hook":
        """Return the request as it is sent at this time: signed, or as the forgery requires."""
        if self.sign is None or forgery == "unsigned":
            return self
        time = now - STALE if forgery == "stale" else now
        key = f"{self.key}-rotated" if forgery == "wrong_key" else self.key
        return self.sign(self, time, key)


@dataclass(frozen=True, slots=True)
class Reply:
    """A site's response to a webhook that asks it something."""

    status: int
    body: bytes = field(default=b"", repr=False)


#: Sends a request to a webhook and returns the HTTP status, None if there was no response.
AskUrl = Callable[[Hook], int | None]
#: Sends a request to a webhook and returns the response, None if there was none.
AskSite = Callable[[Hook], Reply | None]


def hmac_base64(key: bytes, message: bytes, digest: str) -> str:
    """Return an HMAC in Base64: `digest` is `sha1`, `sha256` and so on."""
    return b64encode(hmac.digest(key, message, digest)).decode()


def sha256_hex(message: bytes) -> str:
    """Return a SHA-256 digest in hexadecimal."""
    return hashlib.sha256(message).hexdigest()


def asker(names: frozenset[str]) -> AskUrl:
    """Return a function that sends requests to this machine or to one of the hosts in `names`."""
    questioner = site_asker(names)

    def ask(hook: Hook) -> int | None:
        reply = questioner(hook)
        return reply.status if reply else None

    return ask


def site_asker(names: frozenset[str]) -> AskSite:
    """Return a function like that of `asker`, which returns the response."""

    def ask(hook: Hook) -> Reply | None:
        try:
            parts = urlsplit(hook.url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        if not (is_loopback(host) or host in names):
            return None
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        query = f"?{parts.query}" if parts.query else ""
        target = quote(f"{parts.path or '/'}{query}", safe=_URL_CHARACTERS)
        headers = {"User-Agent": "phone-verify-sandbox", **hook.headers}
        if hook.content_type:
            headers["Content-Type"] = hook.content_type
        connection = kind(host, port, timeout=_TIMEOUT)
        try:
            connection.request(hook.method, target, hook.body or None, headers)
            response = connection.getresponse()
            return Reply(response.status, response.read(_LONGEST_REPLY))
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    return ask
