"""Voice calls and WhatsApp messages: on the network, in the test API, and with every generic fault."""

from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Network
from phone_verify.sandbox.faults import NO_FAULT
from phone_verify.sandbox.numbers import spoken_code_in
from phone_verify.sandbox.phones import PhoneCall

from .conftest import Clock

PHONE, LINE, STRANGER = "+14155550100", "+15005550001", "+79000000013"
SPOKEN = "Your code is 4. 8. 2. 1. 9. 3."


def speak(network: Network, fault: Fault = NO_FAULT) -> None:
    network.place_call(
        PHONE,
        provider="amoot",
        number=LINE,
        code="482193",
        spoken=SPOKEN,
        language="en-US",
        copies=fault.copies,
        hidden=fault.hidden_caller,
        caller=fault.foreign_caller,
    )


def calls(network: Network) -> tuple[PhoneCall, ...]:
    handset = network.handset(PHONE)
    assert handset is not None
    return handset.calls


def test_voice_call_rings_and_speaks_its_code(network: Network, client: Client, clock: Clock) -> None:
    speak(network)
    (call,) = client.get(f"/api/handsets/{PHONE}").get_json()["calls"]
    shown = {name: call[name] for name in ("channel", "number", "code", "spoken", "language", "ringing_for", "busy")}
    assert shown == {
        "channel": "voice", "number": LINE, "code": "482193", "spoken": SPOKEN, "language": "en-US",
        "ringing_for": 30.0, "busy": False,
    }  # fmt: skip
    clock.move(seconds=31)
    assert client.get(f"/api/handsets/{PHONE}").get_json()["calls"][0]["ringing_for"] == 0
    found: Any = client.get(f"/api/handsets/{PHONE}/code").get_json()
    assert (found["code"], found["channel"]) == ("482193", "voice")
    (dispatch,) = client.get("/api/dispatches").get_json()["dispatches"]
    assert (dispatch["channel"], dispatch["state"]) == ("voice", "done")


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [
        (Fault(), [LINE]),
        (Fault(lose=True), []),
        (Fault(double=True), [LINE, LINE]),
        (Fault(foreign_caller=STRANGER), [STRANGER]),
        (Fault(hidden_caller=True), [""]),
    ],
    ids=["none", "lose", "double", "foreign", "hidden"],
)
def test_voice_call_follows_faults_and_keeps_its_code(network: Network, fault: Fault, numbers: list[str]) -> None:
    speak(network, fault)
    assert [(call.number, call.code) for call in calls(network)] == [(number, "482193") for number in numbers]
    assert network.dispatches()[0].state(network.now()) == ("done" if numbers else "failed")


def test_spoken_text_and_code_are_absent_from_the_repr(network: Network) -> None:
    speak(network)
    assert "4" not in repr(calls(network)[0]).replace(repr(calls(network)[0].at), "").partition("spoken")[2]
    assert "482193" not in repr(calls(network)[0])


def test_channels_of_calls_are_told_apart(network: Network) -> None:
    speak(network)
    network.place_call(PHONE, provider="ferzz", number=f"{LINE[:-4]}4821", code="4821")
    network.note_dialled(PHONE, LINE, provider="ssms", busy=True)
    assert [call.channel for call in calls(network)] == ["inbound_call", "flash_call", "voice"]


def test_whatsapp_message_has_its_channel(network: Network, client: Client) -> None:
    network.send_message(PHONE, provider="amoot", channel="whatsapp", sender="Site", text="1234", code="1234")
    found: Any = client.get(f"/api/handsets/{PHONE}/code").get_json()
    assert (found["code"], found["channel"]) == ("1234", "whatsapp")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SPOKEN, "482193"),
        ("4, 8, 2, 1", "4821"),
        ("Your code is 482193", "482193"),
        ("کد شما ۴ ۸ ۲ ۱ است", "4821"),
        ("کد شما: ۴، ۸، ۲، ۱.", "4821"),
        ("You have 2 messages", ""),
        ("Line 1 2. Code 4 8 2 1", "4821"),
    ],
)
def test_spoken_code_is_found(text: str, code: str) -> None:
    assert spoken_code_in(text) == code
