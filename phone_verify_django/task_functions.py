"""Tasks of Django's tasks framework. Their arguments are ids: the order is a row, and the worker derives the code."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from phone_verify.background.jobs import run_due

from .site import current_site
from .tasks import FRAMEWORK

_task: Any = import_string(f"{FRAMEWORK}.task")


@_task  # type: ignore[untyped-decorator]
def send_order(verification: str, send: int) -> None:
    """Send the order of this verification and send number, unless a worker has it."""
    current_site().verifier.send_queued((verification, send))


@_task  # type: ignore[untyped-decorator]
def run_jobs() -> dict[str, int]:
    """Run each repeated job that is due; for a scheduler."""
    return {name: ran.amount for name, ran in run_due(current_site()).items()}
