"""The outbox: messages of every site in the process."""

from __future__ import annotations

from typing import Any

import pytest

from phone_verify import PhoneNumber, Settings, build_site
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.sync import run
from phone_verify.testing.outbox import Outbox
from phone_verify.transports.base import intercepted
from phone_verify.transports.blocking import BlockingTransport

PHONE, OTHER = PhoneNumber("+989120000000"), PhoneNumber("+989120000001")


def site(sms: str = "console://") -> Any:
    return build_site(
        Settings.from_mapping({"sms": sms, "store": "memory:", "secret_keys": "k-key-for-tests-0123456789abcdef"})
    ).verifier


def test_outbox_captures_messages_and_the_code_works(capfd: pytest.CaptureFixture[str]) -> None:
    verifier = site()  # created before: the outbox needs no change to it
    with Outbox().opened() as outbox:
        begun = verifier.start(PHONE)
        assert verifier.check(begun.verification.id, begun.secret, outbox.last_code()).ok
    (message,) = outbox
    assert (message.phone, message.hint) == (PHONE.e164, PHONE.hint)
    assert message.code in message.text
    assert capfd.readouterr().err == ""


def test_notices_are_printed_after_the_outbox_closes(capfd: pytest.CaptureFixture[str]) -> None:
    with Outbox().opened() as outbox:
        pass
    site().start(PHONE)
    assert len(outbox) == 0
    assert PHONE.hint in capfd.readouterr().err


def test_messages_come_in_order_and_by_phone() -> None:
    verifier = site()
    with Outbox().opened() as outbox:
        for phone in (PHONE, OTHER, PHONE):
            verifier.start(phone)
    assert [message.phone for message in outbox] == [PHONE.e164, OTHER.e164, PHONE.e164]
    assert outbox.to(PHONE) == [outbox[0], outbox[2]] == outbox[::2]
    assert outbox.last_code(PHONE) == outbox.last_code("+98 912 000 0000") == outbox[2].code == outbox.last_code()
    assert outbox.last_code(OTHER) == outbox[1].code
    outbox.clear()
    assert list(outbox) == []


def test_empty_outbox_error_says_where_to_look() -> None:
    outbox = Outbox()
    with pytest.raises(AssertionError, match="console://"):
        outbox.last_code()
    with outbox.opened():
        site().start(OTHER)
    with pytest.raises(AssertionError) as caught:
        outbox.last_code(PHONE)
    assert "there are 1 to others" in str(caught.value)
    assert PHONE.e164 not in str(caught.value)


def test_request_to_a_real_provider_is_refused() -> None:
    verifier = site("amoot://SECRET-TOKEN@default")
    with Outbox().opened(), pytest.raises(AssertionError, match="portal") as caught:
        verifier.start(PHONE)
    assert "SECRET-TOKEN" not in str(caught.value)


def test_request_to_this_machine_passes() -> None:
    from phone_verify.testing.handsets import PhoneSandbox

    with PhoneSandbox() as sandbox, Outbox().opened() as outbox:
        verifier = site(f"{sandbox.dsn} console://")
        begun = verifier.start(PHONE)
        assert verifier.check(begun.verification.id, begun.secret, sandbox.handset(PHONE).code()).ok
        assert len(outbox) == 0
        sandbox.fault("amoot", refuse="ServerError")
        verifier.start(OTHER)
        assert [message.phone for message in outbox] == [OTHER.e164]


def test_nothing_secret_is_in_a_repr() -> None:
    with Outbox().opened() as outbox:
        site().start(PHONE)
    shown = f"{outbox!r} {outbox[0]!r} {list(outbox)} {outbox}"
    assert PHONE.hint in shown
    assert PHONE.e164[3:] not in shown
    assert outbox[0].code not in shown


def test_notice_repr_hides_its_content() -> None:
    assert repr(Notice("SMS", phone="+989120000000", message="482193 is your code", code="482193")) == "Notice()"


def test_interceptors_nest_and_let_pass() -> None:
    seen: list[str] = []

    def name(name: str, answer: HttpResponse | None) -> Any:
        def intercept(request: HttpRequest | Notice) -> HttpResponse | None:
            seen.append(name)
            return answer

        return intercept

    def send() -> int:
        return run(BlockingTransport().send(HttpRequest.get("http://127.0.0.1:1/"), 1)).status

    with intercepted(name("outer", HttpResponse(201))):
        with intercepted(name("inner", HttpResponse(202))):
            assert send() == 202
        assert send() == 201
    assert seen == ["inner", "outer"]
    with intercepted(name("passing", None)), pytest.raises(Exception, match="cannot connect"):
        send()
