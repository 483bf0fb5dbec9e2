"""The doctor finds services that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from phone_verify.config.site import SiteConfig
from phone_verify.doctor import Finding, examine
from phone_verify.testing.transport import FakeTransport
from tests.services.sites import SITE, MemoryRows, ledger_url, opening

IDS = {"PV217", "PV218", "PV611", "PV615", "PV102"}


def findings(rows: MemoryRows | None = None, *, contact: bool = True, **settings: Any) -> list[Finding]:
    given = {**SITE, **({"ledger": ledger_url()} if rows is not None else {}), **settings}
    config = SiteConfig(values=given, production=False, service_rows=opening(rows))
    return [found for found in examine(config, transport=FakeTransport() if contact else None) if found.id in IDS]


def test_every_mistake_of_the_settings_is_found() -> None:
    found = findings(services={"shop": {"code_length": 99, "ttl": 1}, "bank": {"chanels": "sms"}})
    assert [(finding.setting, finding.id) for finding in found] == [("PHONE_VERIFY_SERVICES", "PV217")] * 3
    assert "Service shop: code_length: must be from 4 to 8." in found[0].says
    assert "did you mean channels?" in found[2].says


def test_rows_with_mistakes_are_found_if_the_database_may_be_read() -> None:
    rows = MemoryRows()
    rows.put("good")
    rows.put("shop", channels=["voice"])
    [found] = findings(rows)
    assert (found.setting, found.id) == ("PHONE_VERIFY_LEDGER", "PV217")
    assert "no driver of the site carries voice" in found.says
    assert findings(rows, contact=False) == []
    rows.is_down = True
    [found] = findings(rows)
    assert found.id == "PV615"


def test_endpoint_on_this_machine_is_a_mistake_of_a_row_only() -> None:
    secrets = ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]
    local = {"url": "http://localhost/", "secrets": secrets, "unencrypted_on_this_machine_for_development": True}
    rows = MemoryRows()
    rows.put("shop", endpoints=[local])
    [found] = findings(rows, services={"own": {"endpoints": [local]}})
    assert (found.setting, found.id) == ("PHONE_VERIFY_LEDGER", "PV217")
    assert "Service shop: endpoints: the host is this machine" in found.says


@pytest.mark.parametrize("named", [True, False])
def test_service_of_the_pages_must_exist(named: bool) -> None:
    rows = MemoryRows()
    if named:
        rows.put("shop")
    assert [found.id for found in findings(rows, service="shop")] == ([] if named else ["PV218"])


def test_database_that_is_none_is_reported_once() -> None:
    [found] = findings(ledger="redis://localhost")
    assert (found.setting, found.id) == ("PHONE_VERIFY_LEDGER", "PV611")


def test_site_without_services_has_no_findings() -> None:
    assert findings() == []
