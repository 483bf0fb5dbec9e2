"""The terminal that a person sits at: a line can be typed while time passes and other lines are shown."""

from __future__ import annotations

import os
import select
import sys
import time

_LONGEST_LINE = 1024
#: How often, in seconds, a status is repeated where it cannot be written over.
_STATUS_EVERY = 15.0
_CLEARED = "\r\x1b[K"


class StdTerminal:
    """Standard input and output.

    Input is read from the file descriptor, not through `sys.stdin`: that one would keep lines back in its buffer, where
    waiting for the descriptor does not see them.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._over = False
        #: The prompt or status that stands in the last line of the screen.
        self._shown = ""
        self._can_overwrite = sys.stdout.isatty()
        self._told_at: float | None = None

    def say(self, text: str) -> None:
        """Show lines."""
        self._write(("" if not self._shown else _CLEARED if self._can_overwrite else "\n") + text + "\n")
        self._shown = ""

    def status(self, text: str) -> None:
        """Show a line in the place of the last status; now and then, where nothing can be written over."""
        if self._can_overwrite:
            self._write(_CLEARED + text)
            self._shown = text
        elif self._told_at is None or time.monotonic() - self._told_at >= _STATUS_EVERY:
            self._told_at = time.monotonic()
            self._write(text + "\n")

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        """Return the next line typed, or None if there is none within this time. Raises EOFError when input is over."""
        if self._shown != prompt:
            self._write((_CLEARED if self._can_overwrite and self._shown else "") + prompt)
            self._shown = prompt
        line = self._line(seconds)
        if line is None and self._over:
            raise EOFError
        if line is not None:
            self._shown = ""  # the Enter key has ended that line
        return line

    def pause(self, seconds: float) -> str | None:
        """Wait for so long; return the line that was typed meanwhile, if any."""
        if not self._over and (line := self._line(seconds)) is not None:
            return line
        if self._over:
            time.sleep(seconds)
        return None

    def _line(self, seconds: float | None) -> str | None:
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._pending and not self._over:
            rest = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([0], [], [], rest)[0]:
                return None
            piece = os.read(0, _LONGEST_LINE)
            self._over = not piece
            self._pending = (self._pending + piece)[-_LONGEST_LINE:]
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace") if line or not self._over else None

    @staticmethod
    def _write(text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
