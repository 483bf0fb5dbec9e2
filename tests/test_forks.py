"""Programs that run in forks: what `subprocess.run` promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import forks


def python(*words: str, **given: Any) -> tuple[int, str, str]:
    """Return status, output and errors of a program."""
    done = forks.run([sys.executable, *words], **given)
    return done.returncode, done.stdout, done.stderr


def test_program_has_its_arguments_input_folder_and_environment(tmp_path: Path) -> None:
    program = "import os, sys; print(sys.argv, input(), os.getcwd(), dict(os.environ))"
    assert python("-c", program, "a", "b", input="typed\n", cwd=tmp_path, env={"A": "1"}) == (
        0,
        f"['-c', 'a', 'b'] typed {tmp_path} {{'A': '1'}}\n",
        "",
    )


def test_modules_of_a_folder_are_imported_anew(tmp_path: Path) -> None:
    for text in ("first", "second"):
        folder = tmp_path / text
        folder.mkdir()
        (folder / "shop.py").write_text(f"import sys\nprint({text!r}, __name__, sys.argv[1:])")
        assert python("-c", "import shop", cwd=folder)[1] == f"{text} shop []\n"
        assert python("-m", "shop", "a", cwd=folder)[1] == f"{text} __main__ ['a']\n"
        assert python("shop.py", "a", cwd=folder)[1] == f"{text} __main__ ['a']\n"


@pytest.mark.parametrize(
    ("program", "status", "error"),
    [
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        (("import atexit; atexit.register(print, 'end'); import threading, time; "
         "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()"), 0, ""),
    ],
)  # fmt: skip
def test_program_ends_as_in_a_new_process(program: str, status: int, error: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    found = python("-c", program)
    assert found[:2] == (status, done.stdout) == (done.returncode, done.stdout)
    assert done.stderr.strip().endswith(error)
    assert found[2].strip().endswith(error)


def test_warnings_are_errors_if_asked() -> None:
    program = "import warnings; warnings.warn('old', DeprecationWarning)"
    assert python("-W", "error", "-c", program)[0] == 1
    assert python("-c", program)[0] == 0


def test_hanging_program_is_killed(tmp_path: Path) -> None:
    program = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    with pytest.raises(subprocess.TimeoutExpired):
        python("-c", program, timeout=1, cwd=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert python("-c", "print(1)") == (0, "1\n", ""), "the next program runs"
