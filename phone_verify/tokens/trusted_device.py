"""Browsers that have signed in by a phone: the signed text by which one shows it.

It proves nothing and shortens no step. What it buys is a budget of its own: strangers who use up the sends and wrong
answers of a phone use up the strangers' only. The text holds no number, only keyed tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product

from itsdangerous import BadData

from ..codes import TAG_LENGTH, Keyring
from .proof import LEEWAY
from .signer import StampedSigner

#: How long a browser stays known after it has signed in by a phone.
TRUSTED_FOR = timedelta(days=180)
#: A family's browser; more would only make every request longer.
_MOST_PHONES = 3
_LONGEST = 1024


class TrustedDevices:
    """Signs and reads what the browsers of one site show. The newest key and the first audience sign, all verify."""

    def __init__(self, keyring: Keyring, *audiences: str) -> None:
        self._keys, self._audiences = keyring.known_browser_keys, audiences

    def knows(self, shown: str, tag: str, now: datetime) -> bool:
        """Whether the browser that shows this text has signed in by the phone with this tag, within 180 days."""
        return any(found == tag for _, found in self._read(shown, now))

    def signed(self, shown: str, tag: str, now: datetime) -> str:
        """The text for a browser that has just signed in by the phone with this tag; it keeps its last two others."""
        others = [entry for entry, found in self._read(shown, now) if found != tag]
        return "~".join([self._signer(self._audiences[0], now).sign(tag).decode(), *others[: _MOST_PHONES - 1]])

    def _read(self, shown: str, now: datetime) -> Sequence[tuple[str, str]]:
        """The entries that are good, each with the tag it is for."""
        if not shown or len(shown) > _LONGEST or not shown.isascii():
            return []
        signers = [self._signer(audience, now + LEEWAY) for audience in self._audiences]
        oldest = int((TRUSTED_FOR + LEEWAY).total_seconds())
        found = []
        for entry, signer in product(shown.split("~")[:_MOST_PHONES], signers):
            try:
                tag = signer.unsign(entry, oldest).decode()
            except BadData:
                continue
            if len(tag) == TAG_LENGTH:
                found.append((entry, tag))
        return found

    def _signer(self, audience: str, at: datetime) -> StampedSigner:
        return StampedSigner(self._keys, f"phone_verify.tokens.trusted_device\0{audience}", at)
