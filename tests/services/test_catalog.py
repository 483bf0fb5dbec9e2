"""Services that change while the site runs: when a process reads them again, and what it does if it cannot."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from phone_verify import PhoneNumber
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.model import Reason
from phone_verify.services import catalog
from phone_verify.services.catalog import FRESH
from phone_verify.services.listing import find_entry
from phone_verify.staff.call import Page, RefusedError, StaffCall
from phone_verify.staff.pages import answer
from phone_verify.testing.outbox_suite import SECRET
from phone_verify.testing.stores.case import together
from tests.services.sites import Bench, MemoryRows

PHONE = PhoneNumber("+989120000000")


def sent(bench: Bench, name: str = "shop") -> int:
    """Return the length of the code that the service sends now."""
    assert bench.site.verifier.for_service(name).start(PHONE).ok
    return len(bench.code)


def test_change_takes_effect_within_five_seconds() -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=6)
    bench = Bench(rows)
    assert sent(bench) == 6
    rows.put("shop", code_length=8)
    assert sent(bench) == 6, "what was read lately is used"
    bench.now += FRESH
    assert sent(bench) == 8
    assert FRESH < 5


def test_verifier_that_was_kept_follows_changes() -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=6)
    bench = Bench(rows)
    verifier = bench.site.verifier.for_service("shop")
    rows.put("shop", code_length=8)
    bench.now += FRESH
    assert verifier.start(PHONE).ok
    assert len(bench.code) == 8


def test_new_and_deleted_services_are_noticed() -> None:
    rows = MemoryRows()
    bench = Bench(rows)
    with pytest.raises(LookupError):
        bench.site.verifier.for_service("shop")
    rows.put("shop")
    bench.now += FRESH
    verifier = bench.site.verifier.for_service("shop")
    del rows.rows["shop"]
    rows.last += 1
    bench.now += FRESH
    with pytest.raises(LookupError):
        verifier.start(PHONE)


def test_only_the_version_is_read_while_nothing_changes() -> None:
    rows = MemoryRows()
    rows.put("shop")
    bench = Bench(rows)
    sent(bench)
    rows.calls.clear()
    for _ in range(50):
        sent(bench)
    assert rows.calls == []
    bench.now += FRESH
    for _ in range(50):
        sent(bench)
    assert rows.calls == ["version"]


def test_unknown_names_read_nothing() -> None:
    rows = MemoryRows()
    rows.put("shop")
    bench = Bench(rows)
    sent(bench)
    rows.calls.clear()
    for number in range(1000):
        with pytest.raises(LookupError):
            bench.site.verifier.for_service(f"name_{number}")
    assert rows.calls == []


def test_services_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MOST_KEPT", 3)
    rows = MemoryRows()
    for number in range(9):
        rows.put(f"s{number}", code_length=4 + number % 5)
    bench = Bench(rows)
    for _ in range(2):
        for number in range(9):
            assert sent(bench, f"s{number}") == 4 + number % 5
    services = bench.site.services
    assert services is not None
    assert len(services._loaded) == 3


def test_row_with_mistakes_keeps_the_last_good_service(caplog: pytest.LogCaptureFixture) -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=8)
    bench = Bench(rows)
    assert sent(bench) == 8
    rows.put("shop", code_length=99)
    bench.now += FRESH
    with caplog.at_level(logging.ERROR, "phone_verify"):
        assert sent(bench) == 8
        bench.now += FRESH
        assert sent(bench) == 8
    assert caplog.messages == ["service shop: code_length: must be from 4 to 8; its last valid form stays in force"], (
        "once for each version"
    )
    rows.put("shop", code_length=7)
    bench.now += FRESH
    assert sent(bench) == 7


def test_row_with_mistakes_and_no_good_form_is_not_available(caplog: pytest.LogCaptureFixture) -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=99)
    bench = Bench(rows)
    for _ in range(2):
        with pytest.raises(StoreError, match="shop has mistakes"):
            bench.site.verifier.for_service("shop")
    assert len(caplog.messages) == 1


def test_last_known_services_stay_while_the_rows_are_down(caplog: pytest.LogCaptureFixture) -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=8)
    bench = Bench(rows)
    assert sent(bench) == 8
    rows.is_down = True
    for _ in range(3):
        bench.now += FRESH
        assert sent(bench) == 8
    assert [record.levelname for record in caplog.records if "services" in record.message] == ["ERROR"]
    rows.is_down = False
    rows.put("shop", code_length=5)
    bench.now += FRESH
    assert sent(bench) == 5
    assert "can be read again" in caplog.messages[-1]


def test_nothing_is_served_before_the_rows_were_read() -> None:
    """A row of `default` may ask for more than the site's settings do."""
    rows = MemoryRows(is_down=True)
    bench = Bench(rows)
    assert bench.post("v1/verifications", {"phone": PHONE.e164}).status == 503
    assert bench.site.verifier.start(PHONE).reason is Reason.NOT_CONFIGURED
    assert len(rows.calls) == 1, "a database that is down is asked every few seconds"
    rows.is_down = False
    bench.now += FRESH
    assert bench.site.verifier.start(PHONE).ok


def test_service_of_the_settings_needs_no_rows() -> None:
    bench = Bench(MemoryRows(is_down=True), services={"shop": {"code_length": 7}})
    assert sent(bench) == 7


def test_rows_do_not_replace_services_of_the_settings() -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=4)
    assert sent(Bench(rows, services={"shop": {"code_length": 7}})) == 7


def test_default_service_takes_fields_from_its_row() -> None:
    rows = MemoryRows()
    bench = Bench(rows)
    assert bench.site.verifier.start(PHONE).ok
    assert len(bench.code) == 6
    rows.put("default", code_length=8)
    bench.now += FRESH
    assert bench.site.verifier.start(PHONE).ok
    assert len(bench.code) == 8


@pytest.mark.parametrize(
    "settings", [{"caps": {"total": {"count": 2}}}, {"terms": {"currency": "EUR", "trial": "0.12"}}]
)
@pytest.mark.parametrize("name", ["default", "shop"])
def test_service_without_caps_and_terms_has_those_of_the_site(settings: dict[str, Any], name: str) -> None:
    rows = MemoryRows()
    prices = {"currency": "EUR", "prices": [{"price": "0.06"}]}
    bench = Bench(rows, prices=prices, services={"fixed": {"title": "Fixed"}}, **settings)
    rows.put(name, title="Example")
    bench.now += FRESH
    for service in (name, "fixed"):
        verifier = bench.site.verifier.for_service(service)
        started = [verifier.start(PhoneNumber(f"+9891200000{number:02}")).ok for number in range(4)]
        assert started == [True, True, False, False], service


def test_one_of_many_requests_reads_the_changes() -> None:
    """The others go on with what is known; of the first ones all wait."""
    rows, enter, leave = MemoryRows(), threading.Event(), threading.Event()
    rows.put("shop", code_length=6)
    bench = Bench(rows)

    class Slow(MemoryRows):
        async def version(self) -> int:
            enter.set()
            assert leave.wait(30)
            return await super().version()

    slow = Slow(rows.rows, rows.last)
    services = bench.site.services
    assert services is not None
    services.rows = slow
    first: list[int] = []
    waiting = [threading.Thread(target=lambda: first.append(sent(bench)), daemon=True) for _ in range(4)]
    for thread in waiting:
        thread.start()
    assert enter.wait(30)
    assert first == []
    leave.set()
    for thread in waiting:
        thread.join(30)
    assert first == [6] * 4
    assert slow.calls.count("version") == 1
    bench.now += FRESH
    slow.put("shop", code_length=8)
    enter.clear()
    leave.clear()
    reader = threading.Thread(target=lambda: first.append(sent(bench)), daemon=True)
    reader.start()
    assert enter.wait(30)
    assert together(4, lambda _: bench.site.verifier.for_service("shop").policy.code_length) == [6] * 4
    leave.set()
    reader.join(30)
    assert first[-1] == 8


def test_async_verifier_follows_changes() -> None:
    rows = MemoryRows()
    rows.put("shop", code_length=6)
    bench = Bench(rows)

    async def lengths() -> list[int]:
        flows, found = bench.site.async_verifier, []
        for length in (None, 8):
            if length:
                rows.put("shop", code_length=length)
                bench.now += FRESH
            assert (await (await flows.for_service("shop")).start(PHONE)).ok
            found.append(len(bench.code))
        with pytest.raises(LookupError):
            await flows.for_service("bank")
        return found

    assert asyncio.run(lengths()) == [6, 8]


def test_blocking_verifier_reads_no_rows_in_an_event_loop() -> None:
    """Code that the async API shares asks it for values that no service changes."""
    rows = MemoryRows()
    bench = Bench(rows)

    async def channels() -> int:
        bench.now += FRESH
        rows.calls.clear()
        return len(bench.site.verifier.drivers)

    assert asyncio.run(channels()) == 1
    assert rows.calls == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"services": {"shop": {"code_length": 99}}}, "PHONE_VERIFY_SERVICES: service shop: code_length: must be"),
        ({"service": "shop"}, "PHONE_VERIFY_SERVICE: no service is named shop"),
        ({"ledger": "redis://localhost"}, "PHONE_VERIFY_LEDGER"),
    ],
)
def test_setting_that_cannot_work_is_refused_at_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Bench(**settings)
    assert says in str(caught.value)


def test_site_without_services_loads_nothing_of_them() -> None:
    bench = Bench()
    assert bench.site.services is None
    assert not bench.site.verifier.flows.services.exist


def test_endpoint_on_this_machine_in_a_row_gets_no_message(caplog: pytest.LogCaptureFixture) -> None:
    """A row that an earlier version or another program has written."""
    secrets = ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]
    local = {"url": "http://127.0.0.1:6379/", "secrets": secrets, "unencrypted_on_this_machine_for_development": True}
    public = {"name": "other", "url": "https://shop.example/hook", "secrets": secrets}
    rows = MemoryRows()
    rows.put("shop", endpoints=[local, public])
    bench = Bench(rows, services={"own": {"endpoints": [local]}})
    deliverer, services = bench.site.deliverer, bench.site.services
    assert deliverer is not None
    assert services is not None
    assert deliverer.endpoint("shop", "main") is None
    assert deliverer.ping("shop", "main", bench.clock()) is None
    assert deliverer.endpoint("shop", "other") is not None
    assert deliverer.endpoint("own", "main") is not None, "the settings are the site owner's"
    assert sent(bench), "the service works"
    assert "service shop: endpoints: the host is this machine" in caplog.text
    assert "127.0.0.1" not in caplog.text
    entry = find_entry(services, "shop")
    assert entry is not None
    assert list(entry.mistakes) == ["endpoints"]


def test_service_with_mistakes_keeps_its_endpoints() -> None:
    """A message about one of its verifications would otherwise never be written."""
    rows = MemoryRows()
    rows.put("shop", drivers=["gone"], endpoints=[{"url": "https://shop.example/hook", "secrets": [SECRET]}])
    rows.put("bank", drivers=["gone"], endpoints=[{"url": "no URL", "secrets": [SECRET]}])
    bench = Bench(rows)
    deliverer = bench.site.deliverer
    assert deliverer is not None
    found = deliverer.endpoint("shop", "main")
    assert found is not None
    assert found.host == "shop.example"
    assert deliverer.endpoint("bank", "main") is None


def test_change_during_a_look_is_noticed_by_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of a visitor reads the rows just before staff save a service, and ends after it."""
    rows = MemoryRows()
    rows.put("shop", code_length=6)
    bench = Bench(rows)
    assert sent(bench) == 6
    services, version = bench.site.services, rows.version
    assert services is not None

    async def saved_after_the_look() -> int:
        found = await version()
        rows.put("shop", code_length=8)
        services.read_again()
        return found

    bench.now += FRESH
    with monkeypatch.context() as patch:
        patch.setattr(rows, "version", saved_after_the_look)
        bench.site.verifier.for_service("shop")
    assert sent(bench) == 8


def test_page_of_a_service_that_another_process_has_just_saved() -> None:
    rows = MemoryRows()
    bench = Bench(rows)
    with pytest.raises(RefusedError):
        answer(bench.site, StaffCall("GET", "balance/shop/", may=lambda _: True))
    rows.put("shop")
    page = answer(bench.site, StaffCall("GET", "balance/shop/", may=lambda _: True))
    assert isinstance(page, Page)
    assert page.values["service"] == "shop"
