"""The test suite itself: children that can be interrupted, and a time limit for every test."""

from __future__ import annotations

import inspect
import re
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from . import conftest

ROOT = Path(__file__).parents[1]
#: Cases of a table whose tests are separate; a larger table uses `tests.cases.in_one_test`.
MOST_CASES = 80
#: Replaces itself with pytest, which inherits SIGINT as ignored, as from a shell's background job.
IN_BACKGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""
#: A test that waits for a child, one that waits for a thread, and one that runs after them.
HANGING = """
import subprocess, sys, threading
from pathlib import Path

import pytest

@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()
    Path("ended").touch()

@pytest.mark.timeout(0.5)
def test_waits_for_child(child):
    child.wait()

@pytest.mark.timeout(0.5)
def test_waits_for_thread():
    never = threading.Event()
    thread = threading.Thread(target=never.wait, daemon=True)
    thread.start()
    thread.join()

def test_runs_afterwards():
    assert Path("ended").exists()
"""

#: The alarm that was set for the test is gone when its fixture hangs.
HANGING_TEARDOWN = """
import threading

import pytest

@pytest.fixture
def stuck():
    yield
    threading.Event().wait()

@pytest.mark.timeout(0.5)
def test_waits(stuck):
    threading.Event().wait()

def test_runs_afterwards():
    pass
"""
HOOK_NEEDS = """
import signal

import pytest
import pytest_timeout

TEARDOWN_SECONDS = 0.5

"""


def in_background(*words: str) -> subprocess.CompletedProcess[str]:
    """Return the result of pytest with these arguments, started with SIGINT ignored."""
    command = [sys.executable, "-c", IN_BACKGROUND, "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_child_process_receives_sigint() -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_child_process_receives_sigint_in_background_run() -> None:
    done = in_background(f"{Path(__file__).relative_to(ROOT)}::{test_child_process_receives_sigint.__name__}")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_compiled_tests_are_kept() -> None:
    """Also where PYTHONDONTWRITEBYTECODE is set."""
    assert not sys.dont_write_bytecode


def test_make_runs_what_readme_says() -> None:
    readme, makefile = ((ROOT / name).read_text("utf-8") for name in ("README.md", "Makefile"))
    [command] = re.findall(r"<!-- test command -->\n```sh\n.* && (.venv/bin/pytest .*)\n```\n<!-- end -->", readme)
    assert f"\t{command}\n" in makefile
    assert f"\t{command} -m ''\n" in makefile, "everything"


def test_no_file_has_merge_markers() -> None:
    """Markdown and YAML with them are still read without an error."""
    folders = (
        ROOT,
        *(path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "build"),
    )
    kinds = {".md", ".py", ".yml", ".yaml", ".toml", ".txt", ".po", ".html", ".css", ".js", ".json"}
    paths = [path for folder in folders for path in (folder.glob("*") if folder == ROOT else folder.rglob("*"))]
    found = [
        str(path.relative_to(ROOT))
        for path in paths
        if path.suffix in kinds
        and path.is_file()
        and re.search(r"^(<{7}|>{7}) ", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == []


def test_default_run_leaves_out_every_mark() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    marks = [mark.partition(":")[0] for mark in settings["markers"]]
    assert settings["addopts"][-2:] == ["-m", f"not ({' or '.join(marks)})"]


@pytest.mark.parametrize(("chosen", "workers"), [(None, 5), ("4", 4)])
def test_run_has_one_worker_more_than_cores(monkeypatch: pytest.MonkeyPatch, chosen: str | None, workers: int) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", chosen)
    hook = conftest.pytest_xdist_auto_num_workers()
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(4)
    assert ended.value.value == workers


def test_large_tables_are_one_test(request: pytest.FixtureRequest) -> None:
    """A driver's samples are files, which its author looks up by name; a site's scenarios are functions."""
    named = ("::test_driver_follows_the_sample", "::test_scenario")
    sizes = Counter(item.nodeid.partition("[")[0] for item in request.session.items)
    assert {name: size for name, size in sizes.items() if size > MOST_CASES and not name.endswith(named)} == {}


def test_every_test_has_time_limit(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0, "no alarm is set for this test"


def test_hanging_test_fails_and_run_continues(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.makepyfile(HANGING)
    pytester.makeini(f"[pytest]\ntimeout_method = {pytestconfig.getini('timeout_method')}")
    pytester.runpytest_subprocess(*conftest.BARE).assert_outcomes(passed=1, failed=2)


def test_hanging_teardown_of_failed_test_has_limit(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(HOOK_NEEDS + inspect.getsource(conftest.pytest_runtest_teardown))
    pytester.makepyfile(HANGING_TEARDOWN)
    pytester.runpytest_subprocess(*conftest.BARE, timeout=60).assert_outcomes(passed=1, failed=1, errors=1)
