"""The report of the doctor: as text for a terminal, and as a document for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import wrap
from typing import Any

from ..errors import ConfigurationError
from .finding import CATALOGUE, Finding, Level

_HEADINGS = {Level.ERROR: "Errors", Level.WARNING: "Warnings", Level.NOTE: "Notes", Level.OK: "Passed"}
_SYMBOLS = {Level.ERROR: "✗", Level.WARNING: "!", Level.NOTE: "•", Level.OK: "✓"}
#: Columns of the symbol and the id of the catalogue.
_INDENT = 10
_WIDEST = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, and what precedes it in the colour of a level."""

    text: str = ""
    head: str = ""
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Findings, most severe first, and how many were ignored."""

    findings: Sequence[Finding]
    ignored: int = 0

    @classmethod
    def of(cls, findings: Sequence[Finding], ignore: Collection[str] = ()) -> Report:
        """Return the report without the ignored ids. An error cannot be ignored."""
        kept = [each for each in findings if each.level is Level.ERROR or each.id not in ignore]
        return cls(sorted(kept, key=lambda each: list(Level).index(each.level)), len(findings) - len(kept))

    @property
    def counts(self) -> Mapping[Level, int]:
        """The number of findings of each level."""
        return {level: sum(each.level is level for each in self.findings) for level in Level}

    def failed(self, *, strict: bool = False) -> bool:
        """Return whether there is an error; in strict mode, or a warning."""
        return bool(self.counts[Level.ERROR] or (strict and self.counts[Level.WARNING]))

    @property
    def summary(self) -> str:
        """The numbers of errors, warnings and notes as text."""
        words = [_counted(self.counts[level], level) for level in (Level.ERROR, Level.WARNING, Level.NOTE)]
        return ", ".join([*words, *([f"{self.ignored} ignored"] if self.ignored else [])])

    def document(self) -> Mapping[str, Any]:
        """Return the report for JSON."""
        counts = self.counts
        numbers = {f"{level.value}s": counts[level] for level in (Level.ERROR, Level.WARNING, Level.NOTE)}
        return {
            "summary": {**numbers, "ok": counts[Level.OK], "ignored": self.ignored},
            "findings": [each.document() for each in self.findings],
        }

    def lines(self, width: int) -> Iterator[Line]:
        """Format the report: the summary, then the findings under a heading for each level."""
        worst = next((level for level in Level if self.counts[level]), Level.OK)
        worst = worst if worst in (Level.ERROR, Level.WARNING) else Level.OK
        yield Line(f" {self.summary}", _SYMBOLS[worst], worst)
        for level in Level:
            found = [each for each in self.findings if each.level is level]
            if found:
                yield Line()
                yield Line(head=_HEADINGS[level], level=level)
            for each in found:
                yield from _lines(each, min(width, _WIDEST))


def _lines(finding: Finding, width: int) -> Iterator[Line]:
    head = f"{_SYMBOLS[finding.level]} {finding.id}"
    text = _wrapped("", finding.says, width)
    title = finding.title or finding.setting
    if not title and len(head) < _INDENT:
        title = text.pop(0).strip()
    yield Line(f"{' ' * max(1, _INDENT - len(head))}{title}".rstrip(), head, finding.level)
    for line in (*text, *_wrapped("→ ", finding.advice, width)):
        yield Line(line)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    indent = " " * _INDENT
    # A DSN or a URL is copied from the screen, so it is never broken.
    return wrap(
        text,
        width,
        initial_indent=indent + head,
        subsequent_indent=indent + " " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counted(n: int, level: Level) -> str:
    return f"{n or 'no'} {level}{'' if n == 1 else 's'}"


def read_ids(given: Sequence[str]) -> Sequence[str]:
    """Return the ids to ignore, some of them separated by commas. Raises `ConfigurationError` for an
    unknown id.
    """
    ids = [id.strip() for text in given for id in text.split(",") if id.strip()]
    for id in ids:
        if id not in CATALOGUE and not id.startswith("phone_verify"):  # as Django's system checks do
            near = get_close_matches(id.upper(), CATALOGUE, n=1)
            raise ConfigurationError(f"unknown id {id!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return ids
