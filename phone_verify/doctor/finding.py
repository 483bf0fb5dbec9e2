"""What an examination finds, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import wrap


class Level(StrEnum):
    """How much a finding matters, the most first."""

    ERROR = "error"  #: it cannot work, or is not safe
    WARNING = "warning"  #: it works, and not as a site in production should
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: the setting it is about (or none), what is so, and what to do about it."""

    level: Level
    setting: str
    says: str
    advice: str = ""
    #: The rule that found it, by which a site may silence it.
    rule: str = ""

    def text(self, width: int = 100) -> str:
        """The finding as lines of text, the first of which begins with the level."""
        head, indent = f"{self.level:<9}", " " * 9
        lines = [head + self.setting] if self.setting else []
        lines += _wrapped(indent if lines else head, self.says, width)
        lines += _wrapped(f"{indent}→ ", self.advice, width) if self.advice else []
        return "\n".join(lines)


def count(findings: Sequence[Finding]) -> str:
    """How many errors and warnings there are, in words."""
    words = []
    for level in (Level.ERROR, Level.WARNING):
        n = sum(finding.level is level for finding in findings)
        words.append(f"{n or 'no'} {level}{'' if n == 1 else 's'}")
    return ", ".join(words)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    indent = " " * len(head)
    # A DSN or an address is copied from the screen: it is never broken.
    return wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
