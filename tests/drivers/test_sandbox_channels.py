"""`sandbox://` on every channel, over real HTTP."""

from __future__ import annotations

import pytest

from phone_verify.config.settings import CHANNEL_NAMES, Settings
from phone_verify.config.site import build_site
from phone_verify.model import Reason, Started
from phone_verify.phone import PhoneNumber
from phone_verify.testing.handsets import PhoneSandbox
from tests.cases import in_one_test


@in_one_test
@pytest.mark.parametrize("channel", CHANNEL_NAMES)
@pytest.mark.parametrize("phone", ["+989120000000", "+79000000000", "+14155552671"])
def test_every_channel_verifies_any_number(channel: str, phone: str) -> None:
    with PhoneSandbox() as sandbox:
        settings = {channel: sandbox.dsn, "store": "memory:", "secret_keys": "k-key-for-tests-0123456789abcdef"}
        verifier = build_site(Settings.from_mapping(settings)).verifier
        handset = sandbox.handset(phone)
        started = verifier.start(PhoneNumber(phone))
        assert isinstance(started, Started)
        if channel == "inbound_call":
            assert started.verification.line is not None
            assert handset.call(started.verification.line.e164).matched
            assert verifier.poll(started.verification.id, started.secret).proof
            return
        right = handset.code()
        wrong = right[:-1] + ("1" if right[-1] != "1" else "2")
        assert verifier.check(started.verification.id, started.secret, wrong).reason is Reason.WRONG_CODE
        assert verifier.check(started.verification.id, started.secret, right).proof
