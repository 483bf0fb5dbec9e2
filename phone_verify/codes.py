"""Codes, digests, tags and secrets: everything derived from a key.

Our codes are derived, not stored: HMAC-SHA-256 under a server key. A store receives a keyed digest
over verification id and code. Each use has a separate key, derived from the site's secret keys, so
that a digest leaked in one place reveals nothing in another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Callable, Sequence

from .errors import ConfigurationError
from .phone import DIGITS, FILLERS, PhoneNumber
from .purposes import DEFAULT_SERVICE

#: 128 bits, the minimum for ids and secrets (threat model, "Codes").
_RANDOM_BYTES = 16
_LONGEST_TYPED = 32

_LEAST_KEY_LENGTH = 32
#: Length of 128 random bits as text; a shorter webhook secret can be guessed.
_LEAST_WEBHOOK_SECRET_LENGTH = 22
#: Fewer occur once in 20 million draws of 32 random hexadecimal digits, and in a repeated word.
_LEAST_DISTINCT = 8
#: Sample keys printed in this project's documentation: anyone can read them.
_PUBLISHED_KEYS = frozenset(
    {
        "write 32 characters or more of your own here",
        "any-50-characters-or-more-that-nobody-else-knows-and-stay-the-same",
    }
)
#: Prefixes of keys for development: the first is written by Django's `startproject`, the second by
#: our guide.
_DEVELOPMENT_KEYS = ("django-insecure-", "a-key-for-tests-only-")

#: Commands that print a new key and a new webhook secret; error messages about one quote them.
DRAW_KEY = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
DRAW_WEBHOOK_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(24))'"  # noqa: S105 - a command

TAG_LENGTH = 22
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ASCII_DIGITS = re.compile(r"[0-9]+\Z", re.ASCII)

RandomBytes = Callable[[int], bytes]


def normalise(typed: str) -> str | None:
    """Return the ASCII digits of a typed code, or None if it is too long or contains anything else.

    Persian, Arabic-Indic, Devanagari, Bengali and full-width digits count; spaces, dashes,
    direction and zero-width marks are removed. The result is a string, so leading zeros are kept.
    """
    if len(typed) > _LONGEST_TYPED:
        return None
    code = typed if typed.isascii() and typed.isdigit() else typed.translate(DIGITS).translate(FILLERS)
    return code if _ASCII_DIGITS.match(code) else None


def binding_digest(secret: str, service: str = DEFAULT_SERVICE) -> bytes:
    """Return what a store keeps of a binding's secret, at this service.

    At another service the same secret has another digest: every step of a store then treats a
    verification of one service as unknown to the others. The secret has 128 random bits, so no key is
    needed.
    """
    of_service = "" if service == DEFAULT_SERVICE else f" of {service}"
    return hashlib.sha256(f"phone_verify binding{of_service}\0".encode() + secret.encode("utf-8", "replace")).digest()


def weakness_of_key(key: str, *, production: bool) -> str | None:
    """Return why this key must not be used, as the end of a sentence, or None for a good key.

    The criteria are its length, its number of distinct characters, and the samples printed in
    documentation. Keys meant for development are refused only in `production`.
    """
    if len(key) < _LEAST_KEY_LENGTH:
        return f"each key needs {_LEAST_KEY_LENGTH} characters or more"
    if len(set(key)) < _LEAST_DISTINCT:
        return f"a random key has {_LEAST_DISTINCT} different characters or more, and this one has {len(set(key))}"
    if key.strip() in _PUBLISHED_KEYS:
        return "this key is a sample from the documentation of phone_verify, which anyone can read"
    for beginning in _DEVELOPMENT_KEYS:
        if production and key.startswith(beginning):
            return f"a key that begins with {beginning} is for development only"
    return None


def weakness_of_webhook_secret(secret: str) -> str | None:
    """Return why this webhook secret can be guessed, as the end of a sentence, or None."""
    if len(secret) < _LEAST_WEBHOOK_SECRET_LENGTH:
        return f"each secret needs {_LEAST_WEBHOOK_SECRET_LENGTH} characters or more"
    if len(set(secret)) < _LEAST_DISTINCT:
        return f"a random secret has {_LEAST_DISTINCT} different characters or more, this one has {len(set(secret))}"
    return None


class Keyring:
    """The site's secret keys, newest first, and the key of the tags.

    The newest key signs and digests; all listed keys verify. `source` is the setting that the
    secret keys come from. Raises `ConfigurationError` for missing keys and for those with a
    `weakness_of_key`.
    """

    def __init__(
        self,
        secret_keys: Sequence[str],
        tag_key: str | None = None,
        *,
        production: bool = True,
        source: str = "PHONE_VERIFY_SECRET_KEYS",
    ) -> None:
        if not secret_keys:
            raise ConfigurationError(
                "PHONE_VERIFY_SECRET_KEYS is empty: set at least one key of 32 characters or more, "
                f"for example the output of: {DRAW_KEY}"
            )
        for name, key in [*((source, k) for k in secret_keys), ("PHONE_VERIFY_TAG_KEY", tag_key)]:
            if key is not None and (weakness := weakness_of_key(key, production=production)):
                raise ConfigurationError(f"{name}: {weakness}; use the output of: {DRAW_KEY}")
        self._code_keys = {_key_id(key): PreparedKey(_subkey(key, "code")) for key in secret_keys}
        self._digest_keys = tuple(PreparedKey(_subkey(key, "digest")) for key in secret_keys)
        self._tag_key = PreparedKey(_subkey(tag_key or secret_keys[-1], "tag"))
        self._client_keys = tuple(_subkey(key, "client") for key in secret_keys)
        self._response_key = _subkey(tag_key or secret_keys[-1], "response")
        #: Signing keys for proofs, newest first.
        self.proof_keys = tuple(_subkey(key, "proof") for key in secret_keys)
        #: Signing keys for the trusted-device cookie, newest first.
        self.trusted_device_keys = tuple(_subkey(key, "known browser") for key in secret_keys)
        #: The secret segments of webhook URLs when none is set: the newest is used in new URLs, all
        #: are accepted.
        self.webhook_secrets = tuple(_subkey(key, "webhook").hex()[:43] for key in secret_keys)
        #: Identifies the newest key in records without revealing anything about it.
        self.key_id = _key_id(secret_keys[0])
        #: Identifies the key of the tags likewise: tags under different keys cannot be compared.
        self.tag_key_id = _key_id(tag_key or secret_keys[-1])

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._digest_keys)}>"

    def tag(self, phone: PhoneNumber) -> str:
        """Return the keyed digest (22 characters) by which a phone is counted, sharded and found.

        A number of a former numbering plan and the one that it became have the same.
        """
        return self._tagged("phone", phone.current.e164)

    def bucket(self, kind: str, value: str) -> str:
        """Return the name of a shared counter (`address`, `prefix`…) without the value counted."""
        return f"{kind}:{self._tagged(kind, value)}"

    def slot(self, kind: str, value: str, slots: int) -> int:
        """Return which of so many counters a value shares with others; without the key it cannot be foreseen."""
        digest = self._tag_key.digest(f"slot of {kind}\0{value}")
        return int.from_bytes(digest[:8], "big") % slots

    def subject(self, user_id: str) -> str:
        """Return the keyed digest that a record keeps of the signed-in user; empty for none."""
        return self._tagged("subject", user_id) if user_id else ""

    def client_secrets(self, client: str, id: str) -> tuple[str, ...]:
        """Return the secret of a verification that an OAuth client started, under each listed key.

        The newest key's is the one given to new verifications. It is derived from the id's 128 random
        bits, so that the client can be found by its name and the phone alone.
        """
        message = "\0".join((client, id)).encode()
        return tuple(_text(hmac.digest(key, message, "sha256")[:_RANDOM_BYTES]) for key in self._client_keys)

    def place(self, idempotency_key: str, client: str) -> str:
        """Return the name of the place where a client's response under this idempotency key is kept.

        The names for one idempotency key begin alike, so that one server of a Cluster has all of
        them.
        """
        of_key = self._tagged("idempotency key", idempotency_key)
        return of_key + self._tagged("idempotent client", f"{idempotency_key}\0{client}")

    def line_place(self, line: PhoneNumber) -> str:
        """Return the name of the place of this line, which the claim that leases it takes.

        All these names begin alike, so that one server of a Cluster has all of them.
        """
        return self._tagged("leased lines", "") + self._tagged("leased line", line.e164)

    def reference_place(self, driver: str, reference: str) -> str:
        """Return the name of the place that finds the claim with this reference of this driver."""
        return self._tagged("reference of a claim", f"{driver}\0{reference}")

    def request_digest(self, request: str) -> str:
        """Return the keyed digest by which repetitions of a request are recognized."""
        return self._tagged("idempotent request", request)

    def sealing_key(self, idempotency_key: str) -> bytes:
        """Return the key that seals the response to a request; it needs the client's idempotency key."""
        return hmac.digest(self._response_key, idempotency_key.encode(), "sha256")

    @property
    def reference_key(self) -> bytes:
        """The key that encrypts references of providers in the ledger."""
        return hmac.digest(self._response_key, b"references of orders", "sha256")

    def has_key(self, key_id: str) -> bool:
        """Return whether codes derived under this key can still be derived again."""
        return key_id in self._code_keys

    def derive(self, key_id: str, id: str, phone: PhoneNumber, purpose: str, generation: int, length: int) -> str:
        """Return our code for this verification and generation.

        It has `length` digits; it is deterministic, and all codes are equally likely. Raises
        `KeyError` unless the key is listed (`knows`).
        """
        key, span = self._code_keys[key_id], 10**length
        # higher numbers would favour the low codes and are drawn again
        ceiling = (1 << 64) - (1 << 64) % span
        for block in range(256):
            # Joined, since a text of `f"…"` shows a purpose that is of an enumeration in other words than its value.
            message = "\0".join(("code", id, phone.e164, purpose, str(generation), str(block)))
            number = int.from_bytes(key.digest(message)[:8], "big")
            if number < ceiling:
                return str(number % span).zfill(length)
        raise AssertionError("256 draws above the ceiling: probability below 2**-1000")

    def digest(self, id: str, code: str) -> bytes:
        """Return the keyed digest of a code under the newest key, for a store to keep."""
        return self._digest_keys[0].digest(f"{id}\0{code}")

    def digests(self, id: str, code: str) -> tuple[bytes, ...]:
        """Return one digest of a typed code for each listed key, for a store to compare with."""
        message = f"{id}\0{code}"
        return tuple([key.digest(message) for key in self._digest_keys])

    def _tagged(self, kind: str, value: str) -> str:
        return _text(self._tag_key.digest(f"{kind}\0{value}")[:_RANDOM_BYTES])


class PreparedKey:
    """A key for the HMAC-SHA-256 of many texts.

    `hmac.digest` would hash the key again for each text, which takes half as long again.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    def digest(self, text: str) -> bytes:
        """Return the HMAC-SHA-256 of this text."""
        keyed = self._keyed.copy()
        keyed.update(text.encode())
        return keyed.digest()


def new_id(tag: str, random_bytes: RandomBytes) -> str:
    """Return a verification id: the phone's tag, which partitions the store, and 128 random bits."""
    return tag + _text(random_bytes(_RANDOM_BYTES))


def new_secret(random_bytes: RandomBytes) -> str:
    """Return a binding's secret: 128 random bits as text."""
    return _text(random_bytes(_RANDOM_BYTES))


def name_of_site(key: str) -> str:
    """Return a name for the site with this framework key; it reveals nothing about the key."""
    return _subkey(key, "site").hex()


def _text(data: bytes) -> str:
    # `urlsafe_b64encode` does the same in twice the time, and a start calls this six times.
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def _subkey(key: str, use: str) -> bytes:
    return hmac.digest(key.encode("utf-8", "surrogatepass"), f"phone_verify {use}".encode(), "sha256")


def _key_id(key: str) -> str:
    return _subkey(key, "id").hex()[:8]
