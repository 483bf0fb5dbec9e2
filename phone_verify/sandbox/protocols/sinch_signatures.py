"""The credentials of requests to Sinch, and the signatures of requests and webhooks."""

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from phone_verify.sandbox.protocols.base import RefusedError, Visit
from phone_verify.sandbox.webhooks import JSON, Hook, hmac_base64

#: The application's secret in every sandbox, for signed requests and webhooks.
SECRET: Final = b64encode(b"sandbox-application-secret").decode()
#: The window is not published.
_CLOCK_SKEW: Final = timedelta(minutes=15)


def signature(secret: str, verb: str, body: bytes, content_type: str, timestamp: str, path: str) -> str:
    """Return the signature of a request or a webhook."""
    digest = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
    signed = f"{verb}\n{digest}\n{content_type}\nx-timestamp:{timestamp}\n{path}"
    return hmac_base64(_key_bytes(secret), signed.encode(), "sha256")


def _key_bytes(secret: str) -> bytes:
    try:
        return b64decode(secret, validate=True)
    except Base64Error:
        return secret.encode()


def admitted(visit: Visit) -> tuple[str, str]:
    """Check the credentials; return the application's key and the secret that signs its webhooks."""
    header = visit.request.headers.get("Authorization", "")
    if not header:
        raise RefusedError("no_credentials")
    key, secret = visit.basic()
    if key:
        visit.admit(key)
        visit.admit(secret)
        return key, secret
    key, colon, signed = visit.scheme("Application").partition(":")
    if not key:
        raise RefusedError("bad_header")
    visit.admit(key)
    if colon:
        _check_signature(visit, signed)
    elif visit.network.application_webhook(visit.provider.name, key) is None:
        # A device has no secret; only the site can vouch for it.
        raise RefusedError("restricted")
    return key, SECRET


def _check_signature(visit: Visit, given: str) -> None:
    request = visit.request
    stamp = request.headers.get("x-timestamp", "")
    try:
        age = visit.network.now() - datetime.fromisoformat(stamp)
    except (ValueError, TypeError):  # TypeError: a time without a zone
        raise RefusedError("bad_timestamp") from None
    if abs(age) > _CLOCK_SKEW:
        raise RefusedError("bad_timestamp")
    # The path as it was sent: decoding it would change a number's `%2B`.
    path = urlsplit(request.environ.get("REQUEST_URI") or request.path).path
    content_type = request.headers.get("Content-Type", "")
    if given != signature(SECRET, request.method, request.get_data(), content_type, stamp, path):
        raise RefusedError("bad_signature")


def signed(hook: Hook, now: datetime, secret: str, *, application: str, stamp: str) -> Hook:
    """Return a webhook with its signature; `stamp` is the form of its time, `z` or `offset`."""
    timestamp = now.isoformat()
    if stamp == "z":
        timestamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    made = signature(secret, hook.method, hook.body, JSON, timestamp, urlsplit(hook.url).path or "/")
    return hook.with_headers(x_timestamp=timestamp, Authorization=f"Application {application}:{made}")
