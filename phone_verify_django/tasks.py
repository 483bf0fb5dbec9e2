"""Starts tasks of Django's tasks framework that send orders, for `PHONE_VERIFY_BACKGROUND=django-tasks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.utils.module_loading import import_string

from phone_verify.errors import ConfigurationError

#: Django has the framework from 6.0 on; before that it is the package `django-tasks`.
FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"


def waker() -> Callable[[str, int], Any]:
    """Return a function that starts the task for an order. Raises `ConfigurationError` without the framework."""
    try:
        import_string(f"{FRAMEWORK}.task")
    except ImportError:
        raise ConfigurationError(
            "PHONE_VERIFY_BACKGROUND is django-tasks, but this Django has no tasks framework",
            "pip install django-tasks",
        ) from None
    return _wake


def _wake(verification: str, send: int) -> None:
    # Imported at use: tasks are made when the settings of their backends are complete.
    import_string("phone_verify_django.task_functions.send_order").enqueue(verification, send)
