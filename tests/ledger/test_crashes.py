"""A process that is killed at each step of an order: what it left is settled, and nothing is lost."""

from __future__ import annotations

import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.ledger.values import Alarm
from phone_verify.sync import run
from tests import forks
from tests.ledger.conftest import SMS_PRICE
from tests.ledger.crashing import harness

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("provider", "unclear"),  # the provider may have been asked
        ("finish", "unclear"),  # it was asked, and the store has no receipt yet
        ("verify", "verified"),  # the code is spent
    ],
)
def test_killed_process_loses_no_attempt(tmp_path: Path, step: str, outcome: str) -> None:
    program = [sys.executable, "-m", "tests.ledger.crashing", str(tmp_path), step]
    done = forks.run(program, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    made, ledger = harness(str(tmp_path))
    (left,) = run(ledger.unsettled(made.clock() + timedelta(days=1), 10))
    assert left.reserved == SMS_PRICE or step == "verify"
    made.clock.move(20 * 60)
    assert made.verifier.settle_ledger() == 1
    (row,) = run(ledger.attempts(left.verification))
    assert (row.outcome, row.charged, row.reserved, row.open) == (outcome, SMS_PRICE, 0, False)
    assert made.verifier.settle_ledger() == 0


@pytest.mark.parametrize("step", ["alarm", "told"])
def test_alarm_of_a_killed_process_is_told(tmp_path: Path, step: str) -> None:
    program = [sys.executable, "-m", "tests.ledger.crashing", str(tmp_path), step]
    done = forks.run(program, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    alarms: list[Alarm] = []
    made, ledger = harness(str(tmp_path), on_alarm=alarms.append)
    made.verifier.settle_ledger()
    assert alarms == []  # the process may be about to tell it
    made.clock.move(61)
    for _ in range(2):
        made.verifier.settle_ledger()
    assert [(alarm.limit, alarm.level) for alarm in alarms] == [("day", 100)]
    assert run(ledger.alarms(made.clock(), 9)) == []


def test_process_that_survives_leaves_nothing_open(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.ledger.crashing", str(tmp_path), "never"]
    done = forks.run(program, cwd=ROOT, timeout=60)
    assert done.stdout == "alive\n"
    made, ledger = harness(str(tmp_path))
    assert run(ledger.unsettled(made.clock() + timedelta(days=1), 10)) == []
    assert run(ledger.alarms(made.clock() + timedelta(days=1), 10)) == []
