"""The signals: their values, their order, and a receiver that raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from phone_verify.events.opentelemetry import OpenTelemetry
from phone_verify.events.record import VerificationEvent
from phone_verify.events.signals import signals_of
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.phone import PhoneNumber
from phone_verify.verifier import reporting
from phone_verify_flask import signals

from .sites import PHONE, Made, make, proof, start, submit

SESSION = "/phone/v1/session"
NAMES = (
    "phone_verified",
    "phone_changed",
    "verification_failed",
    "verification_locked",
    "delivery_failed",
    "limit_alarm",
)
OTHER = "+989120000007"


class Heard:
    """Collect the signals of one application, in order."""

    def __init__(self, made: Made, stack: ExitStack) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        for name in NAMES:
            stack.enter_context(getattr(signals, name).connected_to(self._receiver(name), made.app))

    def _receiver(self, name: str) -> Any:
        def hear(app: Any, **told: Any) -> None:
            self.told.append((name, told))

        return hear

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_login_signal_has_the_user_and_number(stack: ExitStack) -> None:
    made = make()
    heard = Heard(made, stack)
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code)
    assert heard.names == ["phone_verified", "phone_verified"]
    told = heard.told[0][1]
    assert told == {
        "user": made.users["u0"],
        "phone": PhoneNumber(PHONE),
        "purpose": "login",
        "channel": "sms",
        "assurance": told["assurance"],
    }
    assert told["assurance"] == "code"


def test_change_signal_has_old_number_but_not_on_confirm(stack: ExitStack) -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    heard = Heard(made, stack)
    client.put(f"{SESSION}/phone", json={"proof": proof(client, made, PHONE, "confirm")})
    assert heard.names == ["phone_verified"]
    client.put(f"{SESSION}/phone", json={"proof": proof(client, made, OTHER, "change_phone")})
    assert heard.names == ["phone_verified", "phone_verified", "phone_changed"]
    assert heard.told[-1][1] == {"user": made.users["u0"], "old": PhoneNumber(PHONE), "new": PhoneNumber(OTHER)}


def test_old_number_gets_a_notice_if_enabled() -> None:
    made = make(PHONE_VERIFY_NOTIFY_OLD_NUMBER="1")
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    confirmed = proof(client, made, OTHER, "change_phone")
    sent = len(made.transport.notices)
    assert client.put(f"{SESSION}/phone", json={"proof": confirmed}).status_code == 200
    (notice,) = made.transport.notices[sent:]
    assert (notice.phone, OTHER in notice.message) == (PHONE, False)


@pytest.mark.parametrize("before", [None, "", "no number"])
def test_first_number_is_no_change(stack: ExitStack, before: str | None) -> None:
    made = make()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    made.users["u0"].phone = before  # type: ignore[assignment]
    heard = Heard(made, stack)
    client.put(f"{SESSION}/phone", json={"proof": proof(client, made, OTHER, "confirm")})
    assert heard.names == ["phone_verified"]
    assert heard.told[0][1]["phone"] == PhoneNumber(OTHER)


def test_refused_login_and_taken_number_send_no_signal(stack: ExitStack) -> None:
    made = make()
    client, other = made.app.test_client(), made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    other.post(SESSION, json={"proof": proof(other, made, OTHER)})
    heard = Heard(made, stack)
    taken = client.put(f"{SESSION}/phone", json={"proof": proof(client, made, OTHER, "change_phone")})
    assert taken.status_code == 409
    made.users["u0"].active = False
    assert other.post(SESSION, json={"proof": proof(other, made)}).status_code == 403
    assert heard.told == []


def test_wrong_codes_are_signalled_and_the_last_locks(stack: ExitStack) -> None:
    made = make(PHONE_VERIFY_MAX_ATTEMPTS=2)
    heard = Heard(made, stack)
    client = made.app.test_client()
    path = f"/phone/v1/verifications/{start(client)['id']}"
    for _ in range(3):
        client.post(f"{path}/check", json={"code": made.wrong_code})
    client.get(path)
    assert heard.names == ["verification_failed", "verification_failed", "verification_locked"]
    happened = heard.told[0][1]["happened"]
    assert isinstance(happened, VerificationEvent)
    assert PHONE[3:] not in repr(heard.told)


def test_too_many_wrong_codes_for_a_number_lock_it(stack: ExitStack) -> None:
    made = make(PHONE_VERIFY_MAX_FAILURES=1)
    heard = Heard(made, stack)
    client = made.app.test_client()
    path = f"/phone/v1/verifications/{start(client)['id']}/check"
    assert client.post(path, json={"code": made.wrong_code}).status_code == 422
    assert client.post(path, json={"code": made.wrong_code}).status_code == 429
    assert heard.names == ["verification_failed", "verification_locked"]


def test_event_is_built_only_for_receivers(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build(*args: Any, **more: Any) -> VerificationEvent:
        built.append(args)
        return VerificationEvent(*args, **more)

    monkeypatch.setattr(reporting, "VerificationEvent", build)
    # It receives all events, and is on once another test has loaded the SDK.
    monkeypatch.setattr(OpenTelemetry, "on", False)
    made, others = make(), make("others")
    Heard(others, stack)
    client = made.app.test_client()
    path = f"/phone/v1/verifications/{start(client)['id']}/check"
    client.post(path, json={"code": made.wrong_code})
    assert built == []
    heard = Heard(made, stack)
    client.post(path, json={"code": made.wrong_code})
    client.post(path, json={"code": made.code})
    assert (built, heard.names) == ([("check", "wrong_code")], ["verification_failed"])


def test_failed_delivery_is_signalled(stack: ExitStack) -> None:
    made = make(PHONE_VERIFY_SMS="amoot://SECRET-TOKEN@default")
    heard = Heard(made, stack)

    def refuse(request: HttpRequest) -> HttpResponse:
        return HttpResponse(500, {}, b"no")

    made.transport.answers = [refuse]
    assert made.app.test_client().post("/phone/v1/verifications", json={"phone": PHONE}).status_code == 502
    assert heard.names == ["delivery_failed"]
    assert "SECRET-TOKEN" not in repr(heard.told)
    assert PHONE[3:] not in repr(heard.told)


@pytest.mark.parametrize("name", ["phone_verified", "verification_failed"])
def test_receiver_that_raises_is_logged_and_stops_nothing(
    name: str, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    made = make()
    heard: list[str] = []

    def broken(app: Any, **_: Any) -> None:
        heard.append("broken")
        raise RuntimeError("a receiver of the site's is broken")

    async def second(app: Any, **_: Any) -> None:
        heard.append("second")

    signal = getattr(signals, name)
    stack.enter_context(signal.connected_to(broken, made.app))
    stack.enter_context(signal.connected_to(second, made.app))
    client = made.app.test_client()
    path = f"/phone/v1/verifications/{start(client)['id']}/check"
    assert client.post(path, json={"code": made.wrong_code}).status_code == 422
    checked = client.post(path, json={"code": made.code})
    assert client.post(SESSION, json={"proof": checked.json["proof"]}).status_code == 200
    assert client.get("/").text == PHONE
    assert sorted(heard) == ["broken", "second"]
    assert f"a receiver of {name} failed" in caplog.text


def test_each_application_gets_only_its_signals(stack: ExitStack) -> None:
    first, second = make("first"), make("second")
    one, two = Heard(first, stack), Heard(second, stack)
    for made in (first, second):
        client = made.app.test_client()
        path = f"/phone/v1/verifications/{start(client)['id']}/check"
        client.post(path, json={"code": made.wrong_code})
    assert one.names == two.names == ["verification_failed"]


@pytest.mark.parametrize(
    ("happened", "names"),
    [
        (VerificationEvent("check", "ok"), []),
        (VerificationEvent("check", "closed", status="exhausted"), []),
        (VerificationEvent("poll", "ok", status="exhausted"), []),
        (VerificationEvent("start", "too_many_requests"), []),
        (VerificationEvent("start", "delivery_failed"), ["delivery_failed"]),
        (VerificationEvent("alarm", "80"), ["limit_alarm"]),
        (VerificationEvent("resend", "delivery_failed"), ["delivery_failed"]),
        (VerificationEvent("check", "too_many_requests"), ["verification_locked"]),
        (VerificationEvent("check", "wrong_code", status="sent"), ["verification_failed"]),
        (VerificationEvent("check", "wrong_code", status="exhausted"), ["verification_failed", "verification_locked"]),
    ],
)
def test_which_events_are_signals(happened: VerificationEvent, names: list[str]) -> None:
    assert signals_of(happened) == names
