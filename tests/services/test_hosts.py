"""A site with services on several hosts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.sites import Bench


@pytest.mark.parametrize("body", [{}, {"service": "shop"}], ids=["site", "service"])
def test_message_of_a_service_names_the_host_of_the_request(body: dict[str, Any]) -> None:
    bench = Bench(
        services={"shop": {"public": True}}, public_url="https://a.example", other_public_urls="https://b.example"
    )
    for number, host in enumerate(("b.example", "a.example", "evil.example")):
        site, bench.site = bench.site, bench.site.at(host)
        assert bench.post("v1/verifications", {"phone": f"+98912000000{number}", **body}).status == 201
        bench.site = site
    named = [notice.text.splitlines()[-1].split()[0] for notice in bench.transport.notices]
    assert named == ["@b.example", "@a.example", "@a.example"]
