"""The style of the command line's output: symbols, colours, tables and the spinner.

Colours are used on terminals only, or if FORCE_COLOR is set; NO_COLOR switches every escape code
off. Rich is imported when something is printed, because the adapters import the commands when a
site starts. Without it (the extra `cli`) the same lines are printed in plain text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from typing import TYPE_CHECKING, Literal, cast

from .plain import PlainConsole, PlainTable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


class Mark(StrEnum):
    """The symbol in front of a line."""

    OK = "✓"
    NOTE = "•"
    WARNING = "!"
    ERROR = "✗"


STYLES = {Mark.OK: "green", Mark.NOTE: "blue", Mark.WARNING: "yellow", Mark.ERROR: "red"}


def accept_any_letter() -> None:
    """Let standard output and error print a question mark where the locale has no letter, as for ✓."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def console(*, stderr: bool = False, color: bool = True) -> Console:
    """Return the console on standard output or standard error, as it is now."""
    accept_any_letter()
    try:
        from rich.console import Console
    except ImportError:
        return cast("Console", PlainConsole(stderr=stderr))

    # Without colours, rich still writes bold and dim: NO_COLOR means no escape code at all.
    system: Literal["auto"] | None = "auto" if color and not os.environ.get("NO_COLOR") else None
    return Console(stderr=stderr, color_system=system, highlight=False, markup=False, emoji=False)


def say(text: str, mark: Mark | None = None, *, stderr: bool = False, on: Console | None = None) -> None:
    """Print a line, with a symbol in its colour in front. Long words such as URLs are not broken."""
    line = styled(f"{mark} ", f"bold {STYLES[mark]}", text) if mark else text
    (on or console(stderr=stderr)).print(line, soft_wrap=True)


def styled(head: str, style: str, text: str) -> Text | str:
    """Return a line whose head has this style of rich."""
    try:
        from rich.text import Text
    except ImportError:
        return head + text
    return Text.assemble((head, style), text)


def table(*headings: str, whole: Collection[str] = ()) -> Table:
    """Return an empty table, without a head if there are no headings. Its columns wrap at the width
    of the terminal, except those that are `whole`: their texts are copied.
    """
    try:
        from rich.table import Table
    except ImportError:
        return cast("Table", PlainTable(*headings))

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(headings))
    for heading in headings:
        made.add_column(heading, overflow="fold", no_wrap=heading in whole)
    return made


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Pass a function that announces the current step on standard error: next to a spinner on a
    terminal, else line by line.
    """
    screen = console(stderr=True)
    if not can_spin(screen):
        yield lambda text: say(text, stderr=True)
        return
    status = screen.status("")

    def step(text: str) -> None:
        status.update(text)
        status.start()

    try:
        yield step
    finally:
        status.stop()


def can_spin(screen: Console) -> bool:
    """Return whether a spinner may turn here: not in a pipe, even if it gets colours."""
    return screen.file.isatty() and not screen.is_dumb_terminal


def examples(*lines: str) -> str:
    """Return the block of examples at the end of a command's help, which click leaves as it is."""
    return "\n  ".join(["\b\nExamples:", *lines])
