"""The text of an access key: `pv_`, its id, and a secret of 256 random bits."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from ..codes import RandomBytes

ID_LENGTH = 12
_SECRET_BYTES = 32
#: Without punctuation: an id is an argument of commands and a part of addresses.
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(r"pv_([0-9A-Za-z]{12})_([0-9A-Za-z_-]{43})", re.ASCII)
_ID = re.compile(r"[0-9A-Za-z]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyText:
    """The two parts of a key's text."""

    id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"pv_{self.id}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """SHA-256 of the secret. A slow hash would add nothing: 256 random bits cannot be guessed."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_id(random_bytes: RandomBytes) -> str:
    """Return the id of a new key. It is not secret."""
    number, letters = int.from_bytes(random_bytes(_SECRET_BYTES), "big"), []
    for _ in range(ID_LENGTH):
        number, position = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[position])
    return "".join(letters)


def new_text(random_bytes: RandomBytes, id: str = "") -> KeyText:
    """Return the text of a new key with this id, or with a new one."""
    secret = urlsafe_b64encode(random_bytes(_SECRET_BYTES)).rstrip(b"=").decode()
    return KeyText(id or new_id(random_bytes), secret)


def read_text(text: str) -> KeyText | None:
    """Return the parts of a key's text, or None if it is malformed."""
    shape = _SHAPE.fullmatch(text)
    return KeyText(shape[1], shape[2]) if shape is not None else None


def is_key_id(text: str) -> bool:
    """Return whether this can be the id of a key."""
    return _ID.fullmatch(text) is not None
