"""Changes that add this library to a project: read from its source, without importing any of it."""

from __future__ import annotations

from pathlib import Path

from . import django_project, flask_project
from .source import Change, Plan, ProjectError, first_use

__all__ = ["Change", "Plan", "ProjectError", "plan"]


def plan(folder: Path, region: str | None, application: Path | None = None) -> Plan:
    """Return the changes for the project in this folder: Django if it has a manage.py, else Flask.

    `application` is the file that creates the Flask application, if it is not to be searched for.
    Raises `ProjectError` for a project that cannot be read, or is configured already.
    """
    if (used := first_use(folder)) is not None:
        raise ProjectError(f"{used} uses phone_verify already, so nothing was changed; `phone-verify doctor` checks it")
    if application is None and (folder / "manage.py").is_file():
        return django_project.plan(folder, region)
    return flask_project.plan(folder, region, application)
