"""The setting of orders that move to another channel by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from ..errors import ConfigurationError, quoted
from ..model import Channel
from ..policy import Fallback


def read_fallbacks(words: Sequence[str]) -> Mapping[Channel, Fallback]:
    """Return the fallbacks of the words `channel:other_channel:seconds`. Raises `ConfigurationError`."""
    found: dict[Channel, Fallback] = {}
    channels = set(Channel)
    for word in words:
        parts = [part.strip() for part in word.split(":")]
        if len(parts) != 3 or not channels.issuperset(parts[:2]) or not (parts[2].isdecimal() and parts[2].isascii()):
            raise ConfigurationError(
                f"PHONE_VERIFY_FALLBACKS: {quoted(word)}: write the channel, the one that follows and the seconds "
                "between, like flash_call:sms:30"
            )
        if Channel(parts[0]) in found:
            raise ConfigurationError(f"PHONE_VERIFY_FALLBACKS: {parts[0]} has two fallbacks; an order moves once")
        found[Channel(parts[0])] = Fallback(Channel(parts[1]), timedelta(seconds=int(parts[2][:6])))
    return found
