"""Key rotation on a running site: tokens and codes of an old key work only while that key is listed.

Both example sites over real HTTP, stopped and started again with other keys on the same database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from phone_verify.sandbox import SandboxServer

from .clients import Browser, HttpCarrier
from .scenarios import SETTINGS, Stage, refused, start
from .servers import environment, free_port, gunicorn

pytestmark = pytest.mark.slow

OLD, NEW = "an-old-secret-key-0123456789abcdef", "the-new-secret-key-0123456789abcdef"
TAG, OTHER_TAG = "a-key-for-the-tags-0123456789abcdef", "another-key-for-tags-0123456789abcdef"


@dataclass
class PendingVerification:
    """A verification with its browser and phone."""

    browser: Browser
    phone: str
    id: str

    def check(self, code: str) -> Any:
        return self.browser.call("POST", f"v1/verifications/{self.id}/check", {"code": code})

    def proof(self, code: str) -> str:
        answer = self.check(code)
        assert answer.status == 200, answer.text
        return str(answer.json()["proof"])

    def sign_in(self, proof: str) -> Any:
        return self.browser.call("POST", "v1/session", {"proof": proof})


@dataclass
class House:
    """A site that can be restarted with other keys, and its visitors."""

    running: Callable[[str, str], Any]
    stage: Stage

    def begin(self, channel: str = "sms") -> PendingVerification:
        browser, phone = self.stage.browser(), self.stage.phone()
        return PendingVerification(browser, phone, start(browser, phone, channel=channel)["id"])

    def webhook(self) -> str:
        """Return the webhook URL that the provider received for a new claim."""
        claim = self.begin("inbound_call")
        wait = self.stage.sandbox.sandbox.network.waiting_for(claim.phone)
        assert wait is not None
        assert wait.webhook is not None
        return wait.webhook

    def spend_sends(self) -> str:
        """A phone that has used all its sends of this hour."""
        phone = self.stage.phone()
        for _ in range(5):
            start(self.stage.browser(), phone, channel="sms")
        self.assert_spent(phone)
        return phone

    def assert_spent(self, phone: str) -> None:
        refused(self.stage.browser().call("POST", "v1/verifications", {"phone": phone}), 429, "too_many_requests")


@pytest.fixture(params=["django", "flask"])
def house(request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path: Path) -> House:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    @contextmanager
    def running(keys: str, tag_key: str) -> Iterator[None]:
        settings = {**SETTINGS, "secret_keys": keys, "tag_key": tag_key, "public_url": url}
        env = environment(request.param, tmp_path, sandbox.dsn, settings)
        with gunicorn(request.param, env, workers=1, port=port):
            yield

    return House(running, Stage(lambda: HttpCarrier(url), sandbox))


def get(url: str) -> int:
    return urllib3.request("GET", url, retries=False, timeout=60).status


def test_key_rotation_keeps_open_verifications(house: House) -> None:
    code_of = house.stage.code
    with house.running(OLD, TAG):
        checked, proven, resent = house.begin(), house.begin(), house.begin()
        late_code, late_proof = house.begin(), house.begin()
        codes = {begun.phone: code_of(begun.phone) for begun in (checked, proven, resent, late_code, late_proof)}
        proof, proof_too_late = proven.proof(codes[proven.phone]), late_proof.proof(codes[late_proof.phone])
        old_webhook, spent = house.webhook(), house.spend_sends()

    with house.running(f"{NEW},{OLD}", TAG):
        # Results of the old key are valid.
        assert checked.sign_in(checked.proof(codes[checked.phone])).status == 200
        assert proven.sign_in(proof).status == 200
        arrived = house.stage.arrived(resent.phone)
        assert resent.browser.call("POST", f"v1/verifications/{resent.id}/resend", {}).status == 200
        assert house.stage.arrived(resent.phone) == arrived + 1
        assert code_of(resent.phone) == codes[resent.phone]
        assert resent.check(codes[resent.phone]).status == 200
        assert get(old_webhook) == 200
        # New results use the new key.
        new_webhook = house.webhook()
        assert new_webhook.rpartition("/")[0] == old_webhook.rpartition("/")[0]
        assert new_webhook != old_webhook
        assert get(new_webhook) == 200
        newer = house.begin()
        house.assert_spent(spent)

    with house.running(NEW, TAG):
        # Results of the old key are invalid now; its browser still has access, and may request a code of the new key.
        refused(late_code.check(codes[late_code.phone]), 422, "wrong_code", attempts_left=2)
        refused(late_proof.sign_in(proof_too_late), 400, "invalid_proof")
        assert get(old_webhook) == 404
        assert late_code.browser.call("GET", f"v1/verifications/{late_code.id}").json()["status"] == "sent"
        assert late_code.browser.call("POST", f"v1/verifications/{late_code.id}/resend", {}).status == 200
        assert late_code.check(code_of(late_code.phone)).status == 200
        # Results of the new key are valid, and the separate tag key has kept the count.
        assert get(new_webhook) == 200
        assert newer.sign_in(newer.proof(code_of(newer.phone))).status == 200
        house.assert_spent(spent)
        open_one = house.begin()

    with house.running(NEW, OTHER_TAG):
        # Counting restarts under another tag key. No open verification is lost.
        start(house.stage.browser(), spent, channel="sms")
        assert open_one.sign_in(open_one.proof(code_of(open_one.phone))).status == 200


def test_device_stays_trusted_while_its_key_is_listed(house: House) -> None:
    with house.running(OLD, TAG):
        known, other = house.begin(), house.begin()
        for begun in (known, other):
            assert begun.sign_in(begun.proof(house.stage.code(begun.phone))).status == 200
            for _ in range(4):
                start(house.stage.browser(), begun.phone, channel="sms")
            house.assert_spent(begun.phone)

    with house.running(f"{NEW},{OLD}", TAG):
        house.assert_spent(known.phone)
        again = start(known.browser, known.phone, channel="sms")
        code = house.stage.code(known.phone)
        begun = PendingVerification(known.browser, known.phone, again["id"])
        assert begun.sign_in(begun.proof(code)).status == 200  # and has a cookie under the new key

    with house.running(NEW, TAG):
        start(known.browser, known.phone, channel="sms")
        refused(other.browser.call("POST", "v1/verifications", {"phone": other.phone}), 429, "too_many_requests")


def test_last_key_is_the_default_tag_key(house: House) -> None:
    with house.running(OLD, ""):
        spent = house.spend_sends()
    with house.running(f"{NEW},{OLD}", ""):
        house.assert_spent(spent)
    with house.running(NEW, ""):
        # The reason for the start-up check: set the tag key before the list is first shortened.
        start(house.stage.browser(), spent, channel="sms")
