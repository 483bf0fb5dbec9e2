"""Exceptions that reach a step between any two instructions."""

from __future__ import annotations


class TimeLimitError(Exception):
    """Raised by a handler of a signal, like the time limit of a task queue."""
