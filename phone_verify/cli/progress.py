"""The progress bar of a command that takes minutes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from .output import can_spin, console


@contextmanager
def progress(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Pass a function that advances the bar on standard error by a number of steps.

    `total` is None if it is unknown. Nothing is drawn in a pipe, or without the extra `cli`.
    """
    if not sys.stderr.isatty() or find_spec("rich") is None or not can_spin(screen := console(stderr=True)):
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda steps: bar.advance(task, steps)
