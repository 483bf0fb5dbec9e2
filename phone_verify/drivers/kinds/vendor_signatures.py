"""Signatures of webhooks that several drivers of one vendor check.

Each check returns why a webhook is not from the vendor, or None if it is.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from hashlib import sha1, sha256
from urllib.parse import parse_qs, urlsplit

from ...exchange import WebhookRequest, parameters_of
from .signatures import is_recent, is_same, time_of
from .signed_token import claims_of

_WRONG = "the signature is missing or wrong"
_NO_URL = "the site has no public URL, which the signature covers"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_TELNYX_KEY_LENGTH = 32


def twilio_signature(token: str, text: str) -> bytes:
    """Return Twilio's signature: of a webhook's URL, followed by the sorted fields of its form."""
    return base64.b64encode(hmac.digest(token.encode(), text.encode("utf-8", "surrogatepass"), sha1))


def not_from_twilio(token: str, request: WebhookRequest) -> str | None:
    """Check `X-Twilio-Signature` with the account's auth token."""
    if not request.url:
        return _NO_URL
    presented = request.headers.get("x-twilio-signature", "")
    form: dict[str, set[str]] = {}
    for name, value in request.form:
        form.setdefault(name, set()).add(value)
    fields = "".join(name + value for name in sorted(form) for value in sorted(form[name]))
    if not request.form and not _has_twilio_digest(request):
        return "the digest of the body is missing or wrong"
    signatures = (twilio_signature(token, url + fields) for url in _with_and_without_port(request.url))
    return None if any(is_same(right, presented) for right in signatures) else _WRONG


def plivo_signature(token: str, request: WebhookRequest, nonce: str) -> bytes:
    """Return Plivo's signature V3: of a webhook's URL with the sorted query, its sorted form, and the nonce.

    `?` is there for a query or a form, and `.` after the query for both.
    """
    url, _, query = request.url.partition("?")
    pairs = "&".join(f"{name}={value}" for name, value in sorted(parameters_of(query)))
    fields = sorted(request.form)
    form = "".join(name + value for name, value in fields)
    text = url + ("?" if pairs or fields else "") + pairs + ("." if pairs and fields else "") + f"{form}.{nonce}"
    return base64.b64encode(hmac.digest(token.encode(), text.encode("utf-8", "surrogatepass"), sha256))


def not_from_plivo(token: str, request: WebhookRequest) -> str | None:
    """Check `X-Plivo-Signature-V3` with the account's auth token. It has no time."""
    if not request.url:
        return _NO_URL
    if request.body and not request.form:
        return "the body is not a form, which is all that the signature covers"
    presented = request.headers.get("x-plivo-signature-v3", "").split(",")
    right = plivo_signature(token, request, request.headers.get("x-plivo-signature-v3-nonce", ""))
    return None if any(is_same(right, each.strip()) for each in presented) else _WRONG


def telnyx_public_key(text: str) -> bytes:
    """Parse the public key of a Telnyx account. Raises ValueError saying what to write."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _TELNYX_KEY_LENGTH:
        raise ValueError("write the public key of the portal: 32 bytes in Base64, percent-encoded")
    return key


def not_from_telnyx(public_key: bytes, request: WebhookRequest) -> str | None:
    """Check `Telnyx-Signature-Ed25519`, which covers the time and the body, with the account's public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    stamp, signature = (request.headers.get(f"telnyx-{name}", "") for name in ("timestamp", "signature-ed25519"))
    message = stamp.encode("utf-8", "surrogatepass") + b"|" + request.body
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return _WRONG
    return None if is_recent(time_of(stamp), request.received_at) else "the signature is too old, or in the future"


def not_from_vonage(secret: str, request: WebhookRequest) -> str | None:
    """Check the token of a Vonage application's webhook, which covers its body, with the signature secret."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    claims = claims_of(token, secret, ["HS256"]) if scheme.lower() == "bearer" else None
    if claims is None:
        return "the token is missing or wrong"
    digest, signed_at = claims.get("payload_hash"), claims.get("iat")
    if not isinstance(digest, str) or not is_same(sha256(request.body).hexdigest(), digest.lower()):
        return "the digest of the body is missing or wrong"
    if type(signed_at) is not int or not is_recent(time_of(str(signed_at)), request.received_at):
        return "the token has no time, is too old, or in the future"
    return None


def _has_twilio_digest(request: WebhookRequest) -> bool:
    """Return whether the URL has the digest of this body, as it must for one that is no form."""
    if not request.body:
        return True
    told = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])[0]
    return is_same(sha256(request.body).hexdigest(), told.lower())


def _with_and_without_port(url: str) -> Iterator[str]:
    """Yield the URL as it is, and with its default port added or removed: Twilio signs either."""
    yield url
    parts = urlsplit(url)
    port, host = _DEFAULT_PORTS.get(parts.scheme), parts.hostname or ""
    if parts.port is None and port is not None:
        yield parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    elif parts.port == port:
        yield parts._replace(netloc=host).geturl()
