"""Provider webhooks over real HTTP, on both example sites: one effect or none, in any order and at any time.

`ssms` must be trusted, `telefon-ip` is polled: Russian numbers go to the first, Iranian ones to the second. Calls after
the TTL of a claim are in drivers/test_ssms.py and core/test_verifier.py, where the clock can be moved.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import urllib3

from phone_verify.drivers.kinds.vendor_signatures import twilio_signature
from phone_verify.exchange import FORM
from phone_verify.sandbox import SandboxServer
from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.phones import Wait
from phone_verify.sandbox.protocols import PROVIDERS

from .clients import Browser, HttpCarrier
from .scenarios import SETTINGS, conforms
from .servers import environment, free_port, gunicorn

SECRET = "a-secret-of-webhooks-0123456789"
OWN_LINE = "lines://FAKE-TOKEN@default?by=twilio&pool=%2B15005550001"
#: A connection that is kept could be closed by gunicorn, after two idle seconds, at the moment of the next request.
_ALONE = {"Connection": "close"}
_numbers = itertools.count()
NUMBERS = {"ssms": "+790000{:05d}", "telefon-ip": "+98912001{:04d}"}


@dataclass
class Claim:
    """An open inbound call of a browser."""

    site: Site
    browser: Browser
    phone: str
    id: str
    line: str

    @property
    def status(self) -> str:
        answer = self.browser.call("GET", f"v1/verifications/{self.id}")
        conforms(answer, 200, "Verification")
        return str(answer.json()["status"])

    def told(self, **changes: str | None) -> dict[str, str]:
        """Return the webhook parameters of the call of this claim's phone; None omits one."""
        wait = replace(self.site.wait_of(self.phone), caller=self.phone, webhook="http://127.0.0.1/")
        hook = PROVIDERS[self.site.driver].hook(wait, Fault())
        assert hook is not None
        parameters: dict[str, str | None] = {**dict(parse_qsl(urlsplit(hook.url).query)), **changes}
        return {name: value for name, value in parameters.items() if value is not None}

    def called(self) -> None:
        """The phone calls, and no provider reports it: the test itself sends the reports."""
        self.site.sandbox.sandbox.network.call_line(self.line, shown=self.phone, dialled_by=self.phone)


@dataclass
class Site:
    """A running site, and the webhooks of one provider."""

    url: str
    sandbox: SandboxServer
    driver: str

    def claim(self) -> Claim:
        browser = Browser(HttpCarrier(self.url))
        phone = NUMBERS[self.driver].format(next(_numbers))
        answer = browser.call("POST", "v1/verifications", {"phone": phone, "channel": "inbound_call"})
        conforms(answer, 201, "StartedVerification")
        return Claim(self, browser, phone, answer.json()["id"], answer.json()["dial"]["number"])

    def wait_of(self, phone: str) -> Wait:
        wait = self.sandbox.sandbox.network.waiting_for(phone)
        assert wait is not None
        return wait

    def hook(
        self, parameters: dict[str, str], *, method: str = "GET", secret: str = SECRET, driver: str | None = None
    ) -> tuple[int, str]:
        url = f"{self.url}/phone/webhooks/{driver or self.driver}/{secret}"
        response = urllib3.request(method, f"{url}?{urlencode(parameters)}", headers=_ALONE, retries=False, timeout=60)
        return response.status, response.data.decode()


@pytest.fixture(scope="module", params=["django", "flask"])
def running(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    port = free_port()
    address = sandbox.url.removeprefix("http://")
    settings = {
        **SETTINGS,
        "inbound_call": f"ssms://KEY@{address}?tls=off {sandbox.dsn} {OWN_LINE}",
        "public_url": f"http://127.0.0.1:{port}",
        "webhook_secret": SECRET,
    }
    data = tmp_path_factory.mktemp(request.param)
    env = environment(request.param, data, sandbox.dsn, settings)
    with gunicorn(request.param, env, port=port) as url:
        yield url


@pytest.fixture(scope="module", params=list(NUMBERS))
def site(running: str, sandbox: SandboxServer, request: pytest.FixtureRequest) -> Site:
    return Site(running, sandbox, request.param)


#: Changes to a webhook after which it verifies nothing, by either provider's parameter names.
CHANGES: dict[str, dict[str, str | None]] = {
    "stranger": {"waiting_call_from": "{other}", "phone": "{other}"},
    "hidden": {"waiting_call_from": "anonymous", "phone": "anonymous"},
    "empty caller": {"waiting_call_from": "", "phone": ""},
    "no caller": {"waiting_call_from": None, "phone": None},
    "unknown id": {"id_call": "100", "id": "100"},
}


def test_call_is_processed_once(site: Site) -> None:
    claim = site.claim()
    told = claim.told()
    claim.called()
    assert site.hook(told) == (200, "OK")
    answer = claim.browser.call("GET", f"v1/verifications/{claim.id}").json()
    assert answer["status"] == "verified"
    assert claim.browser.call("POST", "v1/session", {"proof": answer["proof"]}).status == 200
    # Repeated, doubled, late: the ended verification is unchanged.
    assert site.hook(told) == (200, "OK")
    answer = claim.browser.call("GET", f"v1/verifications/{claim.id}").json()
    assert (answer["status"], answer["proof"]) == ("verified", None)


@pytest.mark.parametrize("change", CHANGES)
def test_other_report_leaves_the_claim_open(site: Site, change: str) -> None:
    claim = site.claim()
    other, known = NUMBERS[site.driver].format(9999)[1:], claim.told()
    changes = {name: value and value.format(other=other) for name, value in CHANGES[change].items() if name in known}
    assert changes
    assert site.hook(claim.told(**changes)) == (200, "OK")
    assert claim.status == "sent"
    claim.called()
    site.hook(known)
    assert claim.status == "verified"


def test_sandbox_webhook_arrives(site: Site) -> None:
    """By the providers' own paths: the account URL of one, the start of the other."""
    network = Browser(HttpCarrier(site.sandbox.url), "/api/")
    if site.driver == "ssms":
        url = f"{site.url}/phone/webhooks/ssms/{SECRET}"
        assert network.call("PUT", "webhooks", {"provider": "ssms", "url": url}).status < 300
    claim = site.claim()
    dialled = network.call("POST", f"handsets/{claim.phone}/dial", {"number": claim.line}).json()
    assert [wait["webhooks"] for wait in dialled["waits"]] == [[200]]
    assert claim.status == "verified"


@pytest.mark.parametrize(
    "where",
    [
        {"secret": "a-secret-of-webhooks-0123456788"},
        {"secret": SECRET + "0"},
        {"secret": ""},
        {"driver": "amoot-2"},
        {"driver": "nobody"},
    ],
)
def test_forged_webhook_is_not_found(site: Site, where: dict[str, str]) -> None:
    claim = site.claim()
    told = claim.told()
    assert site.hook(told, **where)[0] == 404  # type: ignore[arg-type]
    assert claim.status == "sent"


def test_webhook_is_ignored_by_another_driver(site: Site) -> None:
    claim = site.claim()
    told = claim.told()
    other = "telefon-ip" if site.driver == "ssms" else "ssms"
    assert site.hook(told, driver=other) == (200, "OK")
    assert claim.status == "sent"


def test_pollable_provider_webhook_is_not_trusted(site: Site) -> None:
    """A client that has the webhook URL still verifies nothing if the provider disagrees."""
    claim = site.claim()
    assert site.hook(claim.told()) == (200, "OK")
    assert claim.status == ("verified" if site.driver == "ssms" else "sent")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_wrong_webhook_method_gets_the_allow_header(site: Site, method: str) -> None:
    claim = site.claim()
    url = f"{site.url}/phone/webhooks/{site.driver}/{SECRET}?{urlencode(claim.told())}"
    answer = urllib3.request(method, url, headers=_ALONE, retries=False, timeout=60)
    assert answer.status == 405
    assert {"GET", "POST"} <= set(answer.headers["Allow"].replace(",", " ").split())
    assert claim.status == "sent"


def test_huge_webhook_is_too_large_and_has_no_effect(site: Site) -> None:
    claim = site.claim()
    url = f"{site.url}/phone/webhooks/{site.driver}/{SECRET}?{urlencode(claim.told())}"
    # Kept open, the connection would also make gunicorn 27 drop others of the same worker: it resets undrained ones.
    answer = urllib3.request("POST", url, body=b"x" * (64 * 1024 + 1), headers=_ALONE, retries=False, timeout=60)
    assert answer.status == 413
    assert claim.status == "sent"


def test_repeated_parameter_verifies_nothing(site: Site) -> None:
    claim = site.claim()
    told = claim.told()
    claim.called()
    for name, value in told.items():
        url = f"{site.url}/phone/webhooks/{site.driver}/{SECRET}?{urlencode([*told.items(), (name, value)])}"
        assert urllib3.request("GET", url, headers=_ALONE, retries=False, timeout=60).status == 200
    # A poll would query the pollable provider; a resend returns whether it is open without a query.
    assert claim.browser.call("POST", f"v1/verifications/{claim.id}/resend", {}).status == 200


def test_webhook_before_the_start_returns_blocks_nothing(site: Site) -> None:
    phone = NUMBERS[site.driver].format(next(_numbers))
    provider = "ssms" if site.driver == "ssms" else "telefon-ip"
    site.sandbox.sandbox.faults.put(provider, phone, Fault(delay=1.0, times=1))
    begun: list[Any] = []
    browser = Browser(HttpCarrier(site.url))
    fields = {"phone": phone, "channel": "inbound_call"}
    starting = threading.Thread(target=lambda: begun.append(browser.call("POST", "v1/verifications", fields)))
    starting.start()
    end = time.monotonic() + 30
    while site.sandbox.sandbox.network.waiting_for(phone) is None and time.monotonic() < end:
        time.sleep(0.01)
    claim = Claim(site, browser, phone, "", site.wait_of(phone).line)
    claim.called()
    early = site.hook(claim.told())
    assert not begun, "the start was over before the webhook came"
    starting.join()
    assert early == (200, "OK")
    assert begun[0].status == 201
    claim.id = begun[0].json()["id"]
    if site.driver == "ssms":
        # Polling is impossible; a repeated report of the provider verifies it.
        assert claim.status == "sent"
        site.hook(claim.told())
    assert claim.status == "verified"


def test_webhook_response_rejects_the_call_of_an_own_line(running: str) -> None:
    fields = {"CallStatus": "ringing", "Direction": "inbound", "From": "+12015550123", "To": "+15005550001"}
    url = f"{running}/phone/webhooks/lines/{SECRET}"
    signature = twilio_signature("FAKE-TOKEN", url + "".join(map("".join, sorted(fields.items())))).decode()
    headers = {**_ALONE, "Content-Type": FORM, "X-Twilio-Signature": signature}
    reply = urllib3.request("POST", url, body=urlencode(fields), headers=headers, retries=False, timeout=60)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert b"<Reject " in reply.data


def test_late_call_verifies_no_cancelled_claim(site: Site) -> None:
    claim = site.claim()
    told = claim.told()
    assert claim.browser.call("DELETE", f"v1/verifications/{claim.id}").status == 204
    claim.called()
    assert site.hook(told) == (200, "OK")
    assert claim.status == "cancelled"


def test_concurrent_webhooks_and_polls_have_one_effect(site: Site) -> None:
    claim = site.claim()
    told = claim.told()
    claim.called()
    barrier = threading.Barrier(9)
    answers: list[Any] = []

    def hook() -> None:
        barrier.wait()
        answers.append(site.hook(told))

    def look() -> None:
        browser = Browser(HttpCarrier(site.url))
        barrier.wait()
        answers.append(browser.call("GET", f"v1/verifications/{claim.id}", secret=secret).status)

    secret = "a secret of nobody"
    threads = [threading.Thread(target=hook) for _ in range(6)] + [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, answers)) == sorted(map(str, [(200, "OK")] * 6 + [404] * 3))
    proofs = {claim.browser.call("GET", f"v1/verifications/{claim.id}").json()["proof"] for _ in range(3)}
    assert len(proofs) == 1
    proof = proofs.pop()
    assert claim.browser.call("POST", "v1/session", {"proof": proof}).status == 200
    assert claim.browser.call("POST", "v1/session", {"proof": proof}).status == 400


def test_each_number_is_routed_to_a_reaching_provider(site: Site) -> None:
    claim = site.claim()
    assert site.wait_of(claim.phone).provider == site.driver


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_misrouted_or_unknown_webhook_is_in_the_sites_log(
    framework: str, sandbox: SandboxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, port = sandbox.url.removeprefix("http://"), free_port()
    settings = {
        **SETTINGS,
        "sms": f"ssms://user:pass@{address}?tls=off",
        "inbound_call": f"ssms://KEY@{address}?tls=off",
        "webhook_secret": SECRET,
    }
    env = environment(framework, tmp_path, None, settings)
    with gunicorn(framework, env, workers=1, port=port) as url:
        claim = Site(url, sandbox, "ssms").claim()
        assert claim.site.hook(claim.told()) == (200, "OK")
        assert claim.site.hook({"abonent": claim.phone, "uid": "5"}, driver="ssms-2") == (200, "OK")
        assert claim.status == "sent"
    printed = capsys.readouterr().err
    assert "a call was reported to ssms, but ssms-2 carries incoming calls" in printed
    assert "a webhook for ssms-2 was ignored" in printed
    assert "parameters: abonent, uid" in printed
    assert claim.phone[1:] not in printed
