"""A worker that is killed at each step of a job: the next one finishes, nothing is lost, and no order is sent twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from _pytest.mark import ParameterSet

from phone_verify.background.jobs import JOBS, Job, run_job
from phone_verify.database.ledger_tables import ATTEMPT
from phone_verify.model import Status
from phone_verify.sandbox import SandboxServer
from phone_verify.sync import run
from tests.background.dying import STEPS
from tests.background.sites import Place, phone
from tests.webhooks_out.receiver import Receiver, receiver


def job(name: str) -> Job:
    return next(each for each in JOBS if each.name == name)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def killed(place: Place, name: str, step: str, when: str) -> None:
    """Run a worker that is killed at a step."""
    done = place.run("-m", "tests.background.dying", name, step, when)
    assert done.returncode == -signal.SIGKILL, done.stderr


def points(name: str, *quick: tuple[str, str]) -> list[ParameterSet]:
    """Return every point of a job, all but these marked as slow."""
    found = [(step, when) for step, _, _ in STEPS[name] for when in ("before", "after")]
    return [pytest.param(*point, marks=() if point in quick else pytest.mark.slow) for point in found]


@pytest.mark.parametrize(("step", "when"), points("send", ("ask", "before"), ("ask", "after"), ("attach", "before")))
def test_send_survives_a_kill(tmp_path: Path, sandbox: SandboxServer, step: str, when: str) -> None:
    place, number = Place(tmp_path, sandbox), phone()
    started = place.start(number)
    killed(place, "send", step, when)
    place.end_leases()
    site = place.site()
    while run(site.verifier.flows.send_queued()):
        pass
    codes = place.codes(number)
    # Once a driver may have been asked, it is not asked again: whether it was is not known.
    never_asked = (step, when) in [("begin", "before"), ("begin", "after"), ("mark", "after"), ("ask", "before")]
    assert len(codes) == (0 if never_asked else 1)
    outcome = site.verifier.get(started.verification.id, started.secret)
    assert outcome.verification is not None
    attached = (step, when) in [("take", "before"), ("take", "after"), ("mark", "before"), ("attach", "after"),
                                ("finish", "before"), ("finish", "after")]  # fmt: skip
    assert outcome.verification.state is (Status.SENT if attached else Status.PENDING)
    if codes:
        assert site.verifier.check(started.verification.id, started.secret, codes[0]).ok
    assert run(site.background.sends.waiting()) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("step", "when"), points("webhooks", ("deliver", "before"), ("deliver", "after")))
def test_webhook_survives_a_kill(tmp_path: Path, sandbox: SandboxServer, hook: Receiver, step: str, when: str) -> None:
    place = Place(tmp_path, sandbox, hook.port)
    place.start(phone())
    site = place.site()
    assert run(site.verifier.flows.send_queued())
    killed(place, "webhooks", step, when)
    place.end_leases()
    assert run_job(site, job("webhooks")) is not None
    ids = [headers["webhook-id"] for headers, _ in hook.requests]
    repeated = (step, when) in [("deliver", "after"), ("done", "before")]
    assert (len(ids), len(set(ids))) == (2 if repeated else 1, 1)
    place.end_leases()
    ran = run_job(site, job("webhooks"))
    assert ran is not None
    assert ran.amount == 0


@pytest.mark.parametrize(("step", "when"), points("settle", ("end", "before")))
def test_settling_survives_a_kill(tmp_path: Path, sandbox: SandboxServer, step: str, when: str) -> None:
    place = Place(tmp_path, sandbox)
    place.start(phone())
    site = place.site()
    assert run(site.verifier.flows.send_queued())
    long_ago = int((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1_000_000)
    place.execute(sa.update(ATTEMPT).values(started_at=long_ago))
    with sa.create_engine(place.environ["PHONE_VERIFY_STORE"], poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql(f"UPDATE phone_verify_verification SET expires_at = {long_ago}")
    killed(place, "settle", step, when)
    place.end_leases()
    ran = run_job(site, job("settle"))
    assert ran is not None
    assert not ran.problem
    engine = sa.create_engine(place.environ["PHONE_VERIFY_LEDGER"], poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sa.select(ATTEMPT.c.outcome, ATTEMPT.c.reserved, ATTEMPT.c.closed_at)).all()
    engine.dispose()
    assert [(row[0], row[1], row[2] is not None) for row in found] == [("expired", 0, True)]
