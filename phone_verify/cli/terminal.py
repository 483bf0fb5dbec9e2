"""The user's terminal: a line can be entered while time passes and other lines are shown."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import output
from .output import Mark

_LONGEST_LINE = 1024
#: How often, in seconds, a status is repeated on output that cannot be overwritten.
_STATUS_EVERY = 15.0
_CLEAR_LINE = "\r\x1b[K"


class StdTerminal:
    """Standard input and output.

    Input is read from the file descriptor, not through `sys.stdin`, which would keep lines in its
    buffer, where `select` cannot detect them.
    """

    def __init__(self, *, color: bool = True) -> None:
        self._pending = b""
        self._at_end = False
        #: The prompt or status in the last line of the screen.
        self._last_line = ""
        self._can_overwrite = sys.stdout.isatty()
        self._status_at: float | None = None
        self._console = output.console(color=color)

    def say(self, text: str, mark: Mark | None = None) -> None:
        """Show lines, with a symbol in front."""
        if self._last_line:
            self._write(_CLEAR_LINE if self._can_overwrite else "\n")
        self._last_line = ""
        output.say(text, mark, on=self._console)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show within `with` that the program is working."""
        if not output.can_spin(self._console):
            self.say(text)
            yield
            return
        with self._console.status(text):
            yield

    def status(self, text: str) -> None:
        """Replace the last status line; print it at intervals if the output cannot be overwritten."""
        if self._can_overwrite:
            self._write(_CLEAR_LINE + text)
            self._last_line = text
        elif self._status_at is None or time.monotonic() - self._status_at >= _STATUS_EVERY:
            self._status_at = time.monotonic()
            self._write(text + "\n")

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        """Return the next input line, or None after this many seconds. Raises EOFError at the end
        of input.
        """
        if self._last_line != prompt:
            self._write((_CLEAR_LINE if self._can_overwrite and self._last_line else "") + prompt)
            self._last_line = prompt
        line = self._line(seconds)
        if line is None and self._at_end:
            raise EOFError
        if line is not None:
            self._last_line = ""  # the Enter key has ended that line
        return line

    def pause(self, seconds: float) -> str | None:
        """Wait this many seconds; return the line entered meanwhile, if any."""
        if not self._at_end and (line := self._line(seconds)) is not None:
            return line
        if self._at_end:
            time.sleep(seconds)
        return None

    def _line(self, seconds: float | None) -> str | None:
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._pending and not self._at_end:
            rest = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([0], [], [], rest)[0]:
                return None
            piece = os.read(0, _LONGEST_LINE)
            self._at_end = not piece
            self._pending = (self._pending + piece)[-_LONGEST_LINE:]
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace") if line or not self._at_end else None

    @staticmethod
    def _write(text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
