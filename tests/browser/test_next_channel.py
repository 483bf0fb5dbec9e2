"""A visitor whose SMS is late, on both example sites: the page calls by itself after a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phone_verify.sandbox import SandboxServer
from tests.scenarios import Stage

from .conftest import Tabs, example_site, stop_clock
from .test_sign_in import begin, is_signed_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site that calls if an SMS is a minute late."""
    settings = {"channels": "sms,flash_call", "next_channel_after": "60", "next_channel_sends_by_itself": "1"}
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param), **settings) as url:
        yield url


def test_late_sms_is_followed_by_one_call(tabs: Tabs, site: str, stage: Stage) -> None:
    phone = stage.phone()
    with tabs() as page:
        stop_clock(page)
        begin(page, site, phone, "sms")
        page.locator("#pv-code").fill("12")
        page.clock.run_for(50000)
        assert stage.arrived(phone) == 1
        with page.expect_navigation():
            page.clock.run_for(10000)
        page.get_by_text("Calling you again.").wait_for()
        assert stage.arrived(phone) == 2
        assert page.locator("#pv-code").input_value() == "12"
        assert page.locator("[data-pv-next]").count() == 0
        page.locator("#pv-code").fill(stage.code(phone))
        page.clock.run_for(1000)
        is_signed_in(page, site, phone)
