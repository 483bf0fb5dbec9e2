"""Names of settings as the site's owner writes them.

Messages of the core name a setting by its environment variable, `PHONE_VERIFY_SMS`, and a line to
write as `PHONE_VERIFY_SMS=console://`. An adapter passes a `Spell`, and messages then show its
own form, except for settings that the owner wrote in the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from .settings import PREFIX

#: Returns how a setting is written: its lower-case name, and the value to set, or None.
Spell = Callable[[str, object], str]

# A name in quotes is what the owner wrote.
_NAME = re.compile(rf"(?<![\w'\"])({PREFIX}([A-Z][A-Z0-9_]*))(?:=(\S+?)(?=[,.;]?(?:\s|$)))?")


def as_variable(name: str, value: object = None) -> str:
    """Return a setting as its environment variable."""
    return PREFIX + name.upper() + ("" if value is None else f"={value}")


def in_words(text: str, spell: Spell, variables: Collection[str], about: str = "") -> str:
    """Return the text with every setting as `spell` writes it, except these environment variables.

    A text about one of these variables is unchanged: its owner writes variables. `about` names what
    it is about, if that is not the first setting in the text.
    """
    subject = _NAME.search(about or text)
    if subject is not None and subject[1] in variables:
        return text

    def written(found: re.Match[str]) -> str:
        if found[1] in variables:
            return found[0]
        return spell(found[2].lower(), _value(found[3]))

    return _NAME.sub(written, text)


def _value(text: str | None) -> object:
    return int(text) if text is not None and text.isdecimal() else text
