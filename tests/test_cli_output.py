"""The style of the output: colours only where they may be, symbols, and lines that fit the terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from phone_verify.cli.commands import COMMANDS
from phone_verify.cli.output import examples
from tests.cases import in_one_test

from .test_cli import environment, shown

PRINTS = "from phone_verify.cli.output import Mark, say; say('it works', Mark.OK)"


def on_a_terminal(*words: str, **environ: str) -> str:
    """Return what a Python program prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *words], env=environment(**{"TERM": "xterm", "COLUMNS": "80", **environ}),
        stdin=theirs, stdout=theirs, stderr=theirs,
    ) as running:  # fmt: skip
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 4096):
                text += piece
        except OSError:  # Linux ends the input with EIO when the program has ended
            pass
        os.close(ours)
        running.wait(timeout=60)
    return text.decode()


@pytest.mark.parametrize(("environ", "coloured"), [
    ({}, True),
    ({"NO_COLOR": "1"}, False),
    ({"NO_COLOR": ""}, True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ({"TERM": "dumb"}, False),
])  # fmt: skip
def test_terminal_gets_colours_unless_refused(environ: dict[str, str], coloured: bool) -> None:
    said = on_a_terminal("-c", PRINTS, **environ)
    assert ("\x1b[" in said) is coloured
    assert "✓" in said


@pytest.mark.parametrize(("environ", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_pipe_gets_no_colours_unless_forced(environ: dict[str, str], coloured: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], env=environment(**environ), capture_output=True, check=True, text=True
    )
    assert ("\x1b[" in done.stdout) is coloured


def test_module_runs_as_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "phone_verify", "send"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "Usage: phone-verify send" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("words", "status", "said"), [
    (["--version"], 0, ""),
    (["schema", "--environment"], 1, "✗ PHONE_VERIFY_STORE is memory:, which has no tables. Set an SQL URL."),
    (["schema", "--flask", "a", "--environment"], 2, "Error: choose one of"),
])  # fmt: skip
def test_errors_have_a_symbol_and_a_status(words: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "phone_verify", *words], cwd=tmp_path, env=environment(), capture_output=True,
        check=False, text=True,
    )  # fmt: skip
    assert done.returncode == status
    assert said in done.stderr


def test_interrupted_question_aborts_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    done = subprocess.run(
        [sys.executable, "-m", "phone_verify", "init"], cwd=tmp_path, env=environment(), input="",
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "! Aborted.\n")


SPINS = """
import sys
from phone_verify.cli.output import working
with working() as step:
    step("Checking the store…")
    while not sys.stdin.read(1): ...
"""


def test_spinner_turns_on_a_terminal_only() -> None:
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", SPINS], env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        os.close(theirs)
        frames = shown(ours, lambda text: text.count("Checking the store…") > 2)
        assert any(frame in frames for frame in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    done = subprocess.run(
        [sys.executable, "-c", SPINS], env=environment(FORCE_COLOR="1"), input="x", capture_output=True, text=True
    )
    assert done.stderr == "Checking the store…\n"


def test_progress_is_drawn_on_a_terminal_only() -> None:
    program = "from phone_verify.cli.progress import progress\nwith progress('Reading', 3) as advance: advance(2)"
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, env={**os.environ, "TERM": "xterm"})
    child.wait()
    os.close(theirs)
    assert "Reading" in os.read(ours, 4096).decode()
    os.close(ours)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_locale_without_the_symbols_gets_question_marks() -> None:
    words = [sys.executable, "-m", "phone_verify", "doctor", "--environment", "--offline"]
    done = subprocess.run(words, env=environment(PYTHONIOENCODING="ascii"), capture_output=True, check=False, text=True)
    assert "Traceback" not in done.stderr
    assert "?" in done.stdout


@in_one_test
@pytest.mark.parametrize("command", [[], *([each.name] for each in COMMANDS)], ids=lambda words: " ".join(words))
def test_help_has_examples_and_fits_80_columns(command: list[str]) -> None:
    said = CliRunner().invoke(_group(), [*command, "--help"], terminal_width=80).output
    assert "Examples:\n    phone-verify" in said
    assert max(map(len, said.splitlines())) <= 80
    assert "..." not in said.replace("[ARGS]...", "")


def _group() -> click.Group:
    return click.Group("phone-verify", commands=COMMANDS, epilog=examples("phone-verify demo"))


WAITS = """
import logging, sys
from phone_verify.cli.interactive import troubles_told
from phone_verify.cli.terminal import StdTerminal
terminal = StdTerminal()
with troubles_told(terminal), terminal.busy("Starting…"):
    logging.getLogger("phone_verify").warning("amoot did not accept it")
    sys.stdin.read(1)
terminal.say("Done.")
"""


def test_warning_stands_on_its_own_line_above_the_spinner() -> None:
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", WAITS], env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        os.close(theirs)
        screen = shown(ours, lambda text: text.count("Starting…") > 3)
        assert "! \x1b[0mamoot did not accept it\r\n" in screen
        os.write(ours, b"\n")
        assert "Done." in shown(ours, lambda text: "Done." in text)
    finally:
        running.kill()
        running.wait()
        os.close(ours)


@pytest.mark.parametrize("color", [True, False])
def test_terminal_prints_no_colour_if_told_so(color: bool) -> None:
    """As `manage.py phone_verify_test --no-color` does, also where FORCE_COLOR is set."""
    program = f"from phone_verify.cli.terminal import *\nStdTerminal(color={color}).say('Done.', Mark.OK)"
    environ = environment(FORCE_COLOR="1", TERM="xterm")
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
    assert done.stdout.endswith("Done.\n")
    assert ("\x1b[" in done.stdout) is color


@pytest.mark.parametrize("package", ["rich", "no_such_package"])
def test_terminal_replaces_letters_that_the_locale_lacks(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None\n"
    program += "from phone_verify.cli.terminal import *\nStdTerminal().say('Done.', Mark.OK)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(PYTHONIOENCODING="ascii"), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "? Done.\n"), done.stderr


def test_terminal_works_without_rich_in_plain_text() -> None:
    """Django's command needs no more than the extra `django`."""
    program = f"import sys; sys.modules['rich'] = None\n{WAITS}"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(FORCE_COLOR="1"), input="x", capture_output=True, text=True
    )
    assert done.stdout == "Starting…\n! amoot did not accept it\nDone.\n"
