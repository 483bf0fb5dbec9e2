"""Shared by all tests: the phone network, Chromium, and the handling of missing programs."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import pytest_timeout
from hypothesis import settings

from hatch_build import generate
from phone_verify.sandbox import SandboxServer
from tests import forks

# `pytester` runs the plugin in a separate pytest.
pytest_plugins = ["pytester", "phone_verify.testing.plugin"]

# Each test has a time limit; a limit for each example would fail on a busy machine.
settings.register_profile("phone_verify", deadline=None)
settings.load_profile("phone_verify")

#: Options for a pytest that a test starts: without unused plugins it starts in half the time.
BARE = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:anyio", "-p", "no:xdist")

#: A Python block of a page of the documentation.
FENCED = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: The tests of Django's adapter, which run with the fixtures of pytest-django.
DJANGO_TESTS = Path(__file__).parent / "django_adapter"

#: The automatic fixtures of pytest-django.
DJANGO_FIXTURES = frozenset(
    ("django_test_environment", "_dj_autoclear_mailbox", "_django_clear_site_cache",
     "_django_db_marker", "_django_isolate_apps", "_django_set_urlconf", "_django_setup_unittest",
     "_fail_for_invalid_template_variable", "_live_server_helper", "_template_string_if_invalid_marker")
)  # fmt: skip

#: The time limit of a failed test's teardown: a server gets ten seconds before it is killed.
TEARDOWN_SECONDS = 60.0


def pytest_configure(config: pytest.Config) -> None:
    """Make the generated files, and restore SIGINT if the run inherited it as ignored.

    Those of the last installation may be older than their sources; with `-n` they are made before the workers start. A
    shell starts a background job with SIGINT ignored, and every child process inherits that: commands and servers that
    tests interrupt would not end.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Compiled modules are kept even if the environment says otherwise: without them every worker compiles the tests,
    # which takes two thirds of the time to collect them, and processes that tests start take half as long again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if not hasattr(config, "workerinput"):
        for _ in generate(Path(__file__).parents[1]):
            pass


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start one worker more than there are cores for `-n auto`, unless the environment says how many.

    A worker that waits, for a server to start, a code to expire or a service to be read again, leaves its core idle:
    without the further one this was a third of the time.
    """
    count = yield
    return count if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else count + 1


def pytest_unconfigure() -> None:
    """End the process whose forks were programs of the tests."""
    forks.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and exclude the collected tests from its later runs.

    Collecting creates 700,000 objects that all stay. Traversing them takes half the time of the collection, and
    half a second of each full run afterwards.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the automatic fixtures of pytest-django from tests that do not use its database.

    They take 1.6 ms of every test, a third of what a test costs that does nothing.
    """
    for item in items:
        of_django = DJANGO_TESTS in item.path.parents or item.get_closest_marker("django_db")
        if isinstance(item, pytest.Function) and not of_django:
            item.fixturenames[:] = [name for name in item.fixturenames if name not in DJANGO_FIXTURES]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Give the fixtures of a failed test a time limit: a failure stops the alarm that was set for the test."""
    if hasattr(item, "cancel_timeout") and not signal.getitimer(signal.ITIMER_REAL)[0]:
        limit = pytest_timeout.Settings(TEARDOWN_SECONDS, "signal", False, False)
        item.ihook.pytest_timeout_set_timer(item=item, settings=limit)


def missing(what: str) -> None:
    """Skip by name; with `PHONE_VERIFY_TEST_EVERYTHING=1`, fail instead."""
    if os.environ.get("PHONE_VERIFY_TEST_EVERYTHING") == "1":
        pytest.fail(f"{what} is missing, and this run must skip nothing")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    """A phone network for the whole run; each test uses separate numbers."""
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the system's Chromium."""
    names = [os.environ.get("PHONE_VERIFY_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if found is None:
        missing("Chromium")
    return found or ""
