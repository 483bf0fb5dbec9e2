"""A site for workers in other processes: files in a folder, the sandbox as provider, and a receiver of webhooks."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from phone_verify.config.site import SiteConfig
from phone_verify.database.outbox_tables import MESSAGE
from phone_verify.database.work_tables import JOB, SEND
from phone_verify.http.site import Site
from phone_verify.model import Started
from phone_verify.phone import PhoneNumber
from phone_verify.sandbox import SandboxServer
from phone_verify.sync import run
from tests import forks

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def phone() -> PhoneNumber:
    """Return a number that no other test uses."""
    return PhoneNumber(f"+98912{secrets.randbelow(10**7):07}")


class Place:
    """A site in a folder, as processes share it."""

    def __init__(self, folder: Path, sandbox: SandboxServer, webhook_port: int | None = None, **more: str) -> None:
        self.sandbox = sandbox
        self.environ = {
            "PHONE_VERIFY_STORE": f"sqlite:///{folder}/store.sqlite3",
            "PHONE_VERIFY_LEDGER": f"sqlite:///{folder}/ledger.sqlite3",
            "PHONE_VERIFY_SECRET_KEYS": "Xk3vQ9sLw2ZrT8yNbM4cJ6hG5fD1aP0oUeIiRqWtYxC",
            "PHONE_VERIFY_SMS": sandbox.dsn,
            "PHONE_VERIFY_BACKGROUND": "worker",
            **more,
        }
        if webhook_port is not None:
            endpoint = {
                "url": f"http://127.0.0.1:{webhook_port}/hook",
                "secrets": [SECRET],
                "unencrypted_on_this_machine_for_development": True,
            }
            file = folder / "services.json"
            file.write_text(json.dumps({"default": {"endpoints": [endpoint]}}))
            self.environ["PHONE_VERIFY_SERVICES"] = str(file)

    def site(self) -> Site:
        """Return the site in this process."""
        return SiteConfig(environ=self.environ).site()

    def start(self, number: PhoneNumber) -> Started:
        """Start a verification in a process that ends with it."""
        started = self.site().verifier.start(number)
        assert isinstance(started, Started), started
        return started

    def process(self, *words: str) -> subprocess.Popen[str]:
        """Start a program of this site."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self.environ}
        return subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this site to its end."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT), **self.environ}
        return forks.run([sys.executable, *words], cwd=ROOT, env=environ, timeout=90)

    def wait_until_sent(self, *workers: subprocess.Popen[str]) -> None:
        """Wait until no order waits for these workers."""
        sends = self.site().background.sends
        assert sends is not None
        while run(sends.waiting()):
            for worker in workers:
                assert worker.poll() is None, worker.communicate()
            time.sleep(0.02)

    def codes(self, number: PhoneNumber) -> list[str]:
        """Return the codes that this phone has received."""
        handsets = self.sandbox.sandbox.network.handsets()
        return [message.code or "" for each in handsets if each.phone == number.e164 for message in each.messages]

    def execute(self, statement: sa.Executable) -> sa.CursorResult[tuple[object, ...]]:
        """Execute a statement in the database of the ledger, as if time had passed."""
        engine = sa.create_engine(self.environ["PHONE_VERIFY_LEDGER"], poolclass=sa.NullPool)
        with engine.begin() as connection:
            result = connection.execute(statement)
        engine.dispose()
        return result

    def end_leases(self) -> None:
        """Let all leases end now."""
        for table in (SEND, JOB, MESSAGE):
            self.execute(sa.update(table).where(table.c.next_at.is_not(None)).values(next_at=1))
