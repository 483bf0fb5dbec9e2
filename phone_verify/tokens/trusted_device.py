"""Trusted devices: the signed text that a browser presents after it has signed in with a phone.

It proves nothing and skips no step. It gives the browser a separate budget: an attacker who
exhausts the sends and wrong answers of a phone exhausts only the budget of other clients. The text
holds no number, only keyed tags, and the sealed id of the user who signed in last: the login page
can offer to continue with that user's current number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product

from itsdangerous import BadData

from ..codes import TAG_LENGTH, Keyring
from .proof import LEEWAY
from .sealed import seal, unseal
from .signer import StampedSigner, signer

#: How long a browser stays trusted after it has signed in with a phone.
TRUSTED_FOR = timedelta(days=180)
#: Enough for a browser shared by a family; more would only make every request longer.
_MOST_PHONES = 3
_LONGEST = 1024
#: The phones, the sealed user, and what a caller appends.
_MOST_PARTS = _MOST_PHONES + 2
#: A longer user id is not kept.
_LONGEST_USER = 128


class TrustedDevices:
    """Signs and verifies the device texts of one site.

    The newest key and the first audience sign, all verify.
    """

    def __init__(self, keyring: Keyring, *audiences: str) -> None:
        self._keys, self._audiences = keyring.trusted_device_keys, audiences

    def recognizes(self, text: str, tag: str, now: datetime) -> bool:
        """Return whether this text is from a sign-in with the phone of this tag within 180 days."""
        return any(found == tag for _, found in self._read(text, now))

    def remember(self, text: str, tag: str, now: datetime, user: str = "") -> str:
        """Return the text for a browser that has just signed in with the phone of this tag.

        Its last two others are kept. With the id of the `user`, `user_of` returns it; only the last
        sign-in's is kept.
        """
        others = [entry for entry, found in self._read(text, now) if found != tag]
        entry = self._signer(self._audiences[0]).sign_at(tag, now)
        # Bound to this entry: it is valid as long, and in no other browser's text.
        sealed = [seal(user, entry, self._keys[0])] if 0 < len(user.encode()) <= _LONGEST_USER else []
        return "~".join([entry, *others[: _MOST_PHONES - 1], *sealed])

    def user_of(self, text: str, now: datetime) -> tuple[str, str] | None:
        """Return the id of the user who signed in last, with the tag of that phone; None if not kept."""
        for entry, tag in self._read(text, now):
            for part, key in product(text.split("~")[1:_MOST_PARTS], self._keys):
                user = unseal(part, entry, key)
                if user:
                    return user, tag
        return None

    def forget_user(self, text: str, now: datetime) -> str:
        """Return the text without the user who signed in last, and without that phone."""
        user = self.user_of(text, now)
        return "~".join(entry for entry, tag in self._read(text, now) if user is None or tag != user[1])

    def _read(self, text: str, now: datetime) -> Sequence[tuple[str, str]]:
        """Return the valid entries, each with its tag."""
        if not text or len(text) > _LONGEST or not text.isascii():
            return []
        found = []
        for entry, audience in product(text.split("~")[:_MOST_PHONES], self._audiences):
            try:
                tag = self._signer(audience).unsign_at(entry, TRUSTED_FOR + LEEWAY, now + LEEWAY)
            except BadData:
                continue
            if len(tag) == TAG_LENGTH:
                found.append((entry, tag))
        return found

    def _signer(self, audience: str) -> StampedSigner:
        # The salt keeps the name that this module first had: with another one every device would be
        # forgotten.
        return signer(self._keys, f"phone_verify.known_browser\0{audience}")
