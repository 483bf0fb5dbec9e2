"""The findings of the doctor and their text form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import wrap


class Level(StrEnum):
    """The severity of a finding, the most severe first."""

    ERROR = "error"  #: it cannot work, or is not safe
    WARNING = "warning"  #: it works, but is unsuitable for production
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the setting concerned (if any), the problem, and the fix."""

    level: Level
    setting: str
    says: str
    advice: str = ""
    #: The rule that produced it, by which a site may silence it.
    rule: str = ""

    def text(self, width: int = 100) -> str:
        """Format the finding as lines of text, the first of which begins with the level."""
        head, indent = f"{self.level:<9}", " " * 9
        lines = [head + self.setting] if self.setting else []
        lines += _wrapped(indent if lines else head, self.says, width)
        lines += _wrapped(f"{indent}→ ", self.advice, width) if self.advice else []
        return "\n".join(lines)


def count(findings: Sequence[Finding]) -> str:
    """Return the number of errors and warnings as text."""
    words = []
    for level in (Level.ERROR, Level.WARNING):
        n = sum(finding.level is level for finding in findings)
        words.append(f"{n or 'no'} {level}{'' if n == 1 else 's'}")
    return ", ".join(words)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    indent = " " * len(head)
    # A DSN or a URL is copied from the screen, so it is never broken.
    return wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
