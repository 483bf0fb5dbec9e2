"""A sandbox controlled by a test, with a verifier over it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from phone_verify import PhoneNumber, Settings, build_site
from phone_verify.model import Channel, Reason, Status
from phone_verify.sandbox import ScenarioError
from phone_verify.testing.handsets import PhoneSandbox

SCENARIOS = Path(__file__).parents[2] / "docs" / "scenarios"
PHONE = "+989120000000"


def site(sandbox: PhoneSandbox, **settings: object) -> Any:
    dsns = dict.fromkeys(("sms", "flash_call", "inbound_call", "telegram"), sandbox.dsn)
    values = {
        **dsns,
        "store": "memory:",
        "secret_keys": "k-key-for-tests-0123456789abcdef",
        "resend_after": 0,
        **settings,
    }
    return build_site(Settings.from_mapping(values)).verifier


def until_it_has_called(sandbox: PhoneSandbox, phone: str) -> None:
    network, handset = sandbox._server.sandbox.network, sandbox.handset(phone)
    version = network.version
    while not handset.calls:
        assert network.changed(version, 5) != version or handset.calls
        version = network.version


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.FLASH_CALL, Channel.TELEGRAM])
def test_handset_receives_a_code_by_each_channel(phone_sandbox: PhoneSandbox, channel: Channel) -> None:
    verifier = site(phone_sandbox)
    begun = verifier.start(PhoneNumber(PHONE), channel=channel)
    handset = phone_sandbox.handset(PHONE)
    assert verifier.check(begun.verification.id, begun.secret, handset.code()).ok
    arrived = handset.calls if channel is Channel.FLASH_CALL else handset.messages
    assert [item.code for item in arrived] == [handset.code()]


def test_handset_calls_from_its_own_or_another_number(phone_sandbox: PhoneSandbox) -> None:
    verifier = site(phone_sandbox)
    handset = phone_sandbox.handset(PHONE)

    def start() -> Any:
        return verifier.start(PhoneNumber(PHONE), channel=Channel.INBOUND_CALL)

    begun = start()
    assert not handset.call(begun.verification.line.e164, hidden=True).matched
    assert not handset.call(begun.verification.line.e164, caller="+989120000009").matched
    assert handset.call(f"tel:{begun.verification.line.e164}").matched
    assert verifier.poll(begun.verification.id, begun.secret).verification.state is Status.VERIFIED
    assert [call.direction for call in handset.calls] == ["out"] * 3
    with pytest.raises(ValueError, match="country code"):
        handset.call("nobody")


def test_code_waits_for_a_message_in_transit(phone_sandbox: PhoneSandbox) -> None:
    sending = threading.Timer(0.05, lambda: site(phone_sandbox).start(PhoneNumber(PHONE)))
    sending.start()
    assert len(phone_sandbox.handset(PHONE).code(wait=10)) == 6
    sending.join()


def test_missing_code_error_says_where_to_look(phone_sandbox: PhoneSandbox) -> None:
    with pytest.raises(AssertionError, match="received 0 requests: does the site have the sandbox's DSN") as caught:
        phone_sandbox.handset(PHONE).code(wait=0)
    assert PHONE[3:] not in str(caught.value)
    assert PHONE[3:] not in repr(phone_sandbox.handset(PHONE))
    phone_sandbox.fault("amoot", lose=True)
    site(phone_sandbox).start(PhoneNumber(PHONE))
    with pytest.raises(AssertionError, match=r"received 1 requests$"):
        phone_sandbox.handset(PHONE).code(wait=0)


def test_faults_apply_to_all_phones_or_one(phone_sandbox: PhoneSandbox) -> None:
    verifier = site(phone_sandbox, channels="sms")
    phone_sandbox.fault("amoot", PHONE, refuse="CreditNotEnough", times=1)
    assert verifier.start(PhoneNumber("+989120000001")).ok
    assert verifier.start(PhoneNumber(PHONE)).reason is Reason.DELIVERY_FAILED
    assert verifier.start(PhoneNumber(PHONE)).ok
    assert [entry.provider for entry in phone_sandbox.requests] == ["amoot"] * 3
    phone_sandbox.fault("amoot", hang=True)
    phone_sandbox.faults.clear()
    assert verifier.start(PhoneNumber(PHONE)).ok


def test_unknown_fault_lists_the_known_ones(phone_sandbox: PhoneSandbox) -> None:
    with pytest.raises(ValueError, match="known are: amoot, evand, ferzz, "):
        phone_sandbox.fault("nobody")
    with pytest.raises(ValueError, match=r"refuse: write null or one of: .*CreditNotEnough"):
        phone_sandbox.fault("amoot", refuse="Broke")


def test_each_sandbox_has_its_own_port_and_state(phone_sandbox: PhoneSandbox) -> None:
    with PhoneSandbox() as other:
        assert other.url != phone_sandbox.url
        other.fault("amoot", lose=True)
        site(other).start(PhoneNumber(PHONE))
        assert phone_sandbox.requests == phone_sandbox.faults.all() == ()


def test_failover_scenario_works(phone_sandbox: PhoneSandbox) -> None:
    phone_sandbox.play(SCENARIOS / "failover.yaml")
    host = phone_sandbox.dsn.partition("//")[2]
    dsns = (f"{name}://T@{host}?tls=off&foreign=digits" for name in ("amoot", "telefon-ip"))
    verifier = site(phone_sandbox, sms=" ".join(dsns))
    assert verifier.start(PhoneNumber(PHONE), channel=Channel.SMS).ok
    assert [message.provider for message in phone_sandbox.handset(PHONE).messages] == ["telefon-ip"]


@pytest.mark.parametrize(("last", "proven"), [(1, True), (2, False), (3, False), (4, False)])
def test_callers_scenario_works(phone_sandbox: PhoneSandbox, last: int, proven: bool) -> None:
    phone_sandbox.play(SCENARIOS / "callers.yaml")
    verifier, phone = site(phone_sandbox), f"+98912000000{last}"
    begun = verifier.start(PhoneNumber(phone), channel=Channel.INBOUND_CALL)
    assert begun.verification.line.e164 in ("+79990000001", "+79990000002")
    if last == 4:
        assert phone_sandbox.handset(phone).calls == ()
    else:
        until_it_has_called(phone_sandbox, phone)
    found = verifier.poll(begun.verification.id, begun.secret).verification
    assert (found.state is Status.VERIFIED) is proven


def test_bad_reception_scenario_works(phone_sandbox: PhoneSandbox) -> None:
    phone_sandbox.play(SCENARIOS / "bad_reception.yaml")
    verifier = site(phone_sandbox)
    foreign, lost, double = (phone_sandbox.handset(f"+98912000000{last}") for last in (1, 2, 3))

    def flash(handset: Any) -> Any:
        return verifier.start(handset.phone, channel=Channel.FLASH_CALL)

    begun = flash(foreign)
    assert foreign.code() == "0013"
    assert not verifier.check(begun.verification.id, begun.secret, "0013").ok
    flash(lost)
    assert lost.calls == ()
    flash(lost)
    assert len(lost.calls) == 1
    begun = flash(double)
    assert len(double.calls) == 2
    assert double.code().startswith("0")
    assert verifier.check(begun.verification.id, begun.secret, double.code()).ok
    # The response is unreadable, and the code still works.
    begun = verifier.start(PhoneNumber(PHONE), channel=Channel.SMS)
    assert begun.verification.state is Status.PENDING
    assert verifier.check(begun.verification.id, begun.secret, phone_sandbox.handset(PHONE).code()).ok


def test_wrong_scenario_error_names_the_line(phone_sandbox: PhoneSandbox, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("faults:\n  - provider: nobody\n")
    with pytest.raises(ScenarioError, match="line 2: write one of: amoot"):
        phone_sandbox.play(tmp_path / "wrong.yaml")


def test_handset_calls_back_by_itself(phone_sandbox: PhoneSandbox) -> None:
    verifier, handset = site(phone_sandbox), phone_sandbox.handset(PHONE)
    handset.calls_back()
    begun = verifier.start(PhoneNumber(PHONE), channel=Channel.INBOUND_CALL)
    until_it_has_called(phone_sandbox, PHONE)
    assert verifier.poll(begun.verification.id, begun.secret).verification.state is Status.VERIFIED
