"""docs/cookbook/curl.md: each section is typed into a shell, with a reader who enters codes and makes the call."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.django_adapter.projects import blocks
from tests.scenarios import Stage

from .conftest import ROOT, program

pytestmark = pytest.mark.slow

PREAMBLE, *SECTIONS = (ROOT / "docs" / "cookbook" / "curl.md").read_text("utf-8").split("\n## ")
SCRIPTS = {
    section.partition("\n")[0]: "\n".join(block.text for block in blocks(section) if block.language == "sh")
    for section in SECTIONS
}
SET_UP = SCRIPTS.pop("Set up")
#: What the shell prints last in each section; PHONE is the reader's number.
LAST = {
    "SMS with a cookie jar": "not_signed_in",
    "SMS without cookies": "PHONE",
    "Flash call": "verified",
    "Inbound call": "verified",
    "Telegram": "verified",
    "Resend, and change the channel": "flash_call",
    "Cancel": "cancelled",
    "Refusals": "422 wrong_code, 2 attempts left",
}


def typed(script: str, folder: Path, stage: Stage, phone: str) -> list[str]:
    """Run a script in a shell, do what it asks the reader to do, and return the lines that it printed."""
    program("curl"), program("jq")
    printed = []
    with (folder / "errors").open("w+") as errors:
        command = [program("bash"), "-euo", "pipefail", "-c", script]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=errors, text=True) as shell:
            assert shell.stdin is not None
            assert shell.stdout is not None
            for line in shell.stdout:
                printed.append(line.strip())
                if line.startswith("Enter "):
                    shell.stdin.write(f"{stage.code(phone)}\n")
                    shell.stdin.flush()
                elif number := re.match(r"Call (\+\d+) within", line):
                    stage.dial(phone, number[1])
        errors.seek(0)
        assert shell.returncode == 0, (printed, errors.read())
    return printed


@pytest.mark.parametrize("heading", SCRIPTS)
def test_section_runs_in_a_shell(heading: str, site: str, stage: Stage, tmp_path: Path) -> None:
    phone = stage.phone()
    assert SET_UP.count("https://shop.example") == 1
    set_up = SET_UP.replace("https://shop.example", site).replace("+989120000000", phone)
    printed = typed(f"{set_up}\n{SCRIPTS[heading]}", tmp_path, stage, phone)
    assert LAST[heading].replace("PHONE", phone) in "\n".join(printed[-3:]), printed


def test_every_section_is_run() -> None:
    assert list(SCRIPTS) == list(LAST)
    assert PREAMBLE.startswith("# curl")
