"""A process that verifies a phone and kills itself at a step: before or after the provider, or before the ledger."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from phone_verify.codes import Keyring
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.ledger.caps import Cap, Window
from phone_verify.ledger.service import ServiceLedger
from phone_verify.ledger.values import Alarm
from phone_verify.model import Started
from phone_verify.stores.sql import SqlStore
from phone_verify.verifier.blocking import Verifier
from tests.core.harness import PHONE, Harness, sms
from tests.ledger.conftest import TABLE


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying:
    """A ledger in whose process something kills the process before the given step."""

    def __init__(self, ledger: SqlLedger, step: str) -> None:
        self._ledger, self._step = ledger, step

    def __getattr__(self, name: str) -> Any:
        if name == self._step:
            die()
        return getattr(self._ledger, name)


def harness(
    folder: str, step: str = "", on_alarm: Callable[[Alarm], object] = lambda alarm: None
) -> tuple[Harness, SqlLedger]:
    """Return a verifier over files in this folder, which dies at the step."""
    driver = sms(on_start=die if step == "provider" else lambda: None)
    made = Harness(driver, store=SqlStore.from_url(f"sqlite:///{folder}/store.sqlite3"))
    ledger = SqlLedger(Database.from_url(f"sqlite:///{folder}/ledger.sqlite3"))
    own = ServiceLedger(
        Dying(ledger, step),
        digest=lambda text: text[:22],
        prices=TABLE,
        caps=[Cap(Window.DAY, count=1, enforced=False)],
        on_alarm=die if step == "alarm" else on_alarm,
        now=made.clock,  # type: ignore[arg-type]
    )
    keyring = Keyring(["k-key-for-tests-0123456789abcdef"], "t-key-for-tests-0123456789abcdef")
    made.parts = replace(made.parts, ledger=own, keyring=keyring)
    made.verifier = Verifier(made.parts)
    made.drivers = [driver]  # type: ignore[attr-defined]
    return made, ledger


def main(folder: str, step: str) -> None:
    """Start and verify; write a line if nothing died."""
    made, _ = harness(folder, step)
    started = made.verifier.start(PHONE)
    assert isinstance(started, Started)
    code = made.drivers[0].codes[0]  # type: ignore[attr-defined]
    made.verifier.check(started.verification.id, started.secret, code)
    sys.stdout.write("alive\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
