"""Sealed texts: authenticated encryption from HMAC-SHA256 alone, for a short text in a cookie.

The construction is the synthetic IV of RFC 5297 with HMAC-SHA256 as both of its functions: the IV is
the MAC of the context and the text, and the key stream is HMAC in counter mode over the IV. The same
text in the same context gives the same result, so that no nonce can be repeated by mistake.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

_IV = 16


def seal(text: str, context: str, key: bytes) -> str:
    """Return the text encrypted and authenticated, in URL-safe base64. It opens in this context only."""
    plain = text.encode()
    iv = _iv(plain, context, key)
    return urlsafe_b64encode(iv + _with_stream(plain, iv, key)).rstrip(b"=").decode()


def unseal(sealed: str, context: str, key: bytes) -> str | None:
    """Return the text that was sealed in this context under this key, or None for any other value."""
    try:
        data = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
    except ValueError:
        return None
    iv, plain = data[:_IV], _with_stream(data[_IV:], data[:_IV], key)
    return plain.decode() if hmac.compare_digest(iv, _iv(plain, context, key)) else None


def _iv(plain: bytes, context: str, key: bytes) -> bytes:
    header = context.encode()
    message = len(header).to_bytes(4, "big") + header + plain
    return hmac.digest(_subkey(key, b"iv"), message, "sha256")[:_IV]


def _with_stream(data: bytes, iv: bytes, key: bytes) -> bytes:
    stream_key, stream = _subkey(key, b"stream"), b""
    while len(stream) < len(data):
        stream += hmac.digest(stream_key, iv + len(stream).to_bytes(4, "big"), "sha256")
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))


def _subkey(key: bytes, use: bytes) -> bytes:
    return hmac.digest(key, b"phone_verify.sealed\0" + use, "sha256")
