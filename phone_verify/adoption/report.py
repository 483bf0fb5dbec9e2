"""What a command that adopts numbers reports: counts, and the numbers that need a decision as CSV."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from errno import EISDIR
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO

from ..phone import PhoneNumber
from .user_names import user_name

#: The columns of the CSV.
COLUMNS = ("problem", "user", "number", "reads_as")
#: Rows shown with masked numbers if no report was requested.
SHOWN = 20

#: Spreadsheets run a cell that begins with one of these as a formula, some also with a full-width one (OWASP, CSV
#: Injection). A plus before digits only is a number.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"\+[0-9]+\Z", re.ASCII)


class Result(StrEnum):
    """What became of one user's number."""

    ADOPTED = "adopted"  #: it counts as verified now, or would
    VERIFIED = "verified"  #: the user has verified it already
    DUPLICATE = "duplicate"  #: several users have it
    UNREADABLE = "unreadable"  #: not a valid number, or it means different ones in two regions
    TAKEN = "taken"  #: another user has verified it
    CHANGED = "changed"  #: the user changed it during the run
    REFUSED = "refused"  #: the site's model refuses it in E.164, for example because its field is too short


#: The results that need a decision, in the order of the summary.
PROBLEMS = (Result.DUPLICATE, Result.UNREADABLE, Result.TAKEN, Result.CHANGED, Result.REFUSED)


class Report:
    """Counts all results, and writes those that need a decision."""

    def __init__(self, file: TextIO | None = None) -> None:
        """`file` receives the CSV with full numbers; without it, the first rows are kept masked."""
        self.counts: Counter[Result] = Counter()
        self.shown: list[str] = []
        self._csv = csv.writer(file) if file is not None else None
        if self._csv:
            self._csv.writerow(COLUMNS)

    def add(self, result: Result, user: object, text: str, phone: PhoneNumber | None) -> None:
        """Add the result for one user, whose field contains `text`."""
        self.counts[result] += 1
        if result not in PROBLEMS:
            return
        if self._csv:
            cells = (result.value, str(user), text, phone.e164 if phone else "")
            self._csv.writerow([_as_text(cell) for cell in cells])
        elif len(self.shown) < SHOWN:
            # Not the text of one that is not a number: it may be anything that a person has typed.
            what = phone.hint if phone else f"{len(text)} characters"
            self.shown.append(f"{result.value}: {user_name(user, phone, text)}, {what}")

    @property
    def problems(self) -> int:
        """The number of users whose number needs a decision."""
        return sum(self.counts[result] for result in PROBLEMS)

    def summary(self, *, trusts: bool) -> Iterator[str]:
        """Yield the lines for the terminal. They contain no full number."""
        verb = "counted as verified" if trusts else "could be trusted (--trust)"
        yield f"{self.counts[Result.ADOPTED]} numbers {verb}"
        yield f"{self.counts[Result.VERIFIED]} were verified already"
        yield from (f"{self.counts[result]} {result.value}" for result in PROBLEMS)
        yield from self.shown
        if self._csv is None and self.problems:
            yield "Full numbers, of all of these: --report FILE (or --report - for standard output)."


@contextmanager
def written_to(path: str | None) -> Iterator[TextIO | None]:
    """Open the file of the report: None for no report, standard output for `-`.

    Only the current user can read the file, since it contains numbers. It replaces an existing file
    or link of this name when it is complete, also after an error.
    """
    if path is None:
        yield None
        return
    if path == "-":
        yield sys.stdout
        return
    if Path(path).is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    descriptor, name = mkstemp(dir=Path(path).parent, prefix=".phone_verify_")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
    finally:
        Path(name).replace(path)


def _as_text(cell: str) -> str:
    """Return a cell that neither a spreadsheet nor a terminal runs: users have typed these texts."""
    cell = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in cell)
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.match(cell) else cell
