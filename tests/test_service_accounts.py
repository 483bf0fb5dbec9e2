"""A service with prices and a cap over real HTTP: both example sites with two workers, a key, and the report."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from phone_verify.sandbox import SandboxServer

from . import forks
from .clients import Browser, HttpCarrier
from .scenarios import SETTINGS, Stage, refused
from .servers import FOLDERS, environment, gunicorn
from .test_access_keys import _SITES, ROOT, Company

PRICE, CAP = Decimal("0.05"), Decimal("0.50")
#: More simultaneous starts than the cap pays for.
STARTS = 24


@pytest.fixture(scope="module", params=["django", "flask"])
def company(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    framework = request.param
    data = tmp_path_factory.mktemp(framework)
    prices = {"currency": "EUR", "prices": [{"price": f"{PRICE}"}]}
    services = data / "services.json"
    services.write_text(json.dumps({"shop": {"caps": {"day": {"money": f"{CAP}"}}}}))
    money = {
        "ledger": "orm:" if framework == "django" else f"sqlite:///{data / 'services.sqlite3'}",
        "prices": json.dumps(prices),
        "services": str(services),
    }
    env = environment(framework, data, sandbox.dsn, {**SETTINGS, **money})
    with gunicorn(framework, env) as url:
        assert Browser(HttpCarrier(url)).call("GET", "v1/health").status == 200
        yield Company(framework, url, env, Stage(lambda: HttpCarrier(url), sandbox))


def reported(company: Company, *words: str) -> str:
    """Return what `phone-verify report` prints of the service."""
    command = [sys.executable, "-m", "phone_verify", "report", *_SITES[company.framework], "--service", "shop", *words]
    path = os.pathsep.join([str(FOLDERS[company.framework]), str(ROOT)])
    env = {**company.env, "PYTHONPATH": path}
    done = forks.run(command, cwd=FOLDERS[company.framework], env=env, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_cap_of_a_service_stops_it_to_the_cent_and_the_report_adds_up(company: Company, tmp_path: Path) -> None:
    key = company.new_key("--service", "shop")
    phone = company.stage.phone()
    begun = company.start(key, phone, channel="sms").json()
    code = company.stage.code(phone)
    checked = company.call(key, "POST", f"v1/verifications/{begun['id']}/check", {"code": code}, begun["secret"])
    assert checked.json()["status"] == "verified"
    phones = [company.stage.phone() for _ in range(STARTS)]
    with ThreadPoolExecutor(STARTS) as threads:
        answers = list(threads.map(lambda each: company.start(key, each, channel="sms"), phones))
    paid = int(CAP / PRICE)
    assert Counter(answer.status for answer in answers) == {201: paid - 1, 402: STARTS - paid + 1}
    assert sum(company.stage.arrived(each) for each in phones) == paid - 1
    refused(company.start(key, channel="sms"), 402, "service_suspended")

    # The site's own service is another one, and has no cap.
    visitor = Browser(HttpCarrier(company.url))
    own = visitor.call("POST", "v1/verifications", {"phone": company.stage.phone(), "channel": "sms"})
    assert own.status == 201

    *days, total = json.loads(reported(company, "--format", "json"))
    assert (total["sent"], total["verified"], Decimal(total["cost_EUR"])) == (paid, 1, CAP)
    assert sum(day["sent"] for day in days) == paid
    file = tmp_path / "attempts.xlsx"
    reported(company, "--attempts", "--format", "xlsx", "-o", str(file))
    head, *rows = openpyxl.load_workbook(file).active.iter_rows(values_only=True)
    assert len(rows) == paid
    assert sum(Decimal(str(row[head.index("cost")])) for row in rows) == CAP
    assert not [cell for row in rows for cell in row if any(phone[1:] in str(cell) for phone in phones)]


def test_visitors_of_a_suspended_service_read_a_neutral_text(
    sandbox: SandboxServer, tmp_path: Path, company: Company
) -> None:
    framework = company.framework
    money = {"ledger": company.env["PHONE_VERIFY_LEDGER"], "caps": json.dumps({"day": {"count": 0}})}
    env = environment(framework, tmp_path, sandbox.dsn, {**SETTINGS, **money})
    with gunicorn(framework, env) as url:
        visitor = Browser(HttpCarrier(url))
        answer = visitor.call("POST", "v1/verifications", {"phone": company.stage.phone(), "channel": "sms"})
        refused(answer, 503, "unavailable")
        assert "suspend" not in answer.body.decode().lower()
