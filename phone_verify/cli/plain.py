"""Plain output, for an installation without rich: the part of its interface that `output` uses."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TextIO


class PlainConsole:
    """Prints to standard output or standard error, without colours and spinners."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @property
    def file(self) -> TextIO:
        """Return the stream, as it is now."""
        return sys.stderr if self._stderr else sys.stdout

    @property
    def width(self) -> int:
        """Return the width of the terminal in columns."""
        return shutil.get_terminal_size().columns

    def print(self, what: object = "", *, style: str = "", soft_wrap: bool = False) -> None:
        """Print a line or a table."""
        self.file.write(f"{what}\n")
        self.file.flush()

    def is_dumb_terminal(self) -> bool:
        """Return True: nothing on the screen can be overwritten."""
        return True


class PlainTable:
    """Rows in columns that are as wide as their longest cell."""

    def __init__(self, *headings: str) -> None:
        self._rows: list[tuple[str, ...]] = []
        if headings:
            self.add_row(*headings)

    def add_row(self, *cells: str) -> None:
        """Add a row. A cell may have several lines."""
        self._rows += zip_longest(*(cell.split("\n") for cell in cells), fillvalue="")

    def __str__(self) -> str:
        count = max(map(len, self._rows), default=0)
        filled = [(*row, *[""] * (count - len(row))) for row in self._rows]
        widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
        lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in filled)
        return "\n".join(line.rstrip() for line in lines)


def in_columns(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as the lines of a table."""
    table = PlainTable()
    for row in rows:
        table.add_row(*row)
    return str(table)
