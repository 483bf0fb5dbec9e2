"""What all tests share: the phone network, Chromium, and what happens where something is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatch_build import compile_catalogues
from phone_verify.sandbox import SandboxServer

# `pytester` runs the plugin in a pytest of its own.
pytest_plugins = ["pytester", "phone_verify.testing.plugin"]


def pytest_configure() -> None:
    """Compile the translations: those of the last installation may be older than their sources."""
    for _ in compile_catalogues(Path(__file__).parents[1]):
        pass


def missing(what: str) -> None:
    """Skip by name; where everything must be there (`PHONE_VERIFY_TEST_EVERYTHING=1`), fail."""
    if os.environ.get("PHONE_VERIFY_TEST_EVERYTHING") == "1":
        pytest.fail(f"{what} is missing, and this run must skip nothing")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    """A phone network for the whole run; tests use numbers of their own."""
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the system's Chromium is."""
    names = [os.environ.get("PHONE_VERIFY_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if found is None:
        missing("Chromium")
    return found or ""
