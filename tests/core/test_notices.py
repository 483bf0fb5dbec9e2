"""Texts without a code: to the old number after a change."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phone_verify import PhoneNumber, Settings, build_site
from phone_verify.exchange import HttpResponse
from phone_verify.http.notices import notify_old_number
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import texts_in
from phone_verify.testing.transport import FakeTransport

OLD = PhoneNumber("+989120000000")
KEY = "k-key-for-tests-0123456789abcdef"


def site(transport: FakeTransport, **settings: object) -> Any:
    values = {"sms": "console://", "store": "memory:", "secret_keys": KEY, "site_name": "Shop", **settings}
    return build_site(Settings.from_mapping(values), transport=transport)


def test_notice_is_sent_only_if_enabled() -> None:
    transport = FakeTransport()
    notify_old_number(site(transport), OLD, texts_in(ENGLISH))
    assert transport.notices == []
    notify_old_number(site(transport, notify_old_number="1"), OLD, texts_in(ENGLISH))
    (notice,) = transport.notices
    assert (notice.phone, notice.code) == (OLD.e164, "")
    assert notice.message.startswith("The phone number of your Shop account was changed.")


@pytest.mark.parametrize("tag", ["en", "fa", "ar", "ru"])
@pytest.mark.parametrize("name", ["", "Shop"])
def test_notice_holds_no_link_and_no_number(tag: str, name: str) -> None:
    text = texts_in(named(tag) or ENGLISH).number_changed(name)
    assert name in text
    assert not any(character in "{/@" or character.isdigit() for character in text)


def test_notice_counts_for_the_site_and_blocks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport()
    made = site(transport, sends_per_hour_total=1)
    assert made.verifier.notify(OLD, "a text")
    with caplog.at_level(logging.WARNING, "phone_verify"):
        assert not made.verifier.notify(OLD, "a text")
    assert len(transport.notices) == 1
    assert OLD.e164 not in caplog.text


def test_driver_with_templates_sends_no_notice(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport()
    with caplog.at_level(logging.WARNING, "phone_verify"):
        assert not site(transport, sms="amoot://TOKEN@default").verifier.notify(OLD, "a text")
    assert transport.requests == []
    assert "no SMS driver" in caplog.text


def test_failed_notice_is_logged_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport()
    transport.answers.append(HttpResponse(500, {}, b""))
    made = site(transport, sms="ssms://KEY@default")
    with caplog.at_level(logging.WARNING, "phone_verify"):
        assert not made.verifier.notify(PhoneNumber("+79160000002"), "a text")
    assert "9160000002" not in caplog.text
