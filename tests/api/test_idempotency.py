"""`Idempotency-Key`: the same request from the same client sends once, blocking and awaited."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import pytest

from phone_verify.api import ApiRequest, ApiResponse, SessionUser, Site, ahandle, handle, idempotency
from phone_verify.before_send import BeforeSend, Hook, Refusal
from phone_verify.codes import TAG_LENGTH
from phone_verify.errors import FailureKind, ProviderError, StoreError
from phone_verify.http.cookies import with_pair
from phone_verify.http.proxies import Proxies
from phone_verify.model import Status
from phone_verify.stores.base import KEPT_FOR, RESERVED_FOR
from phone_verify.stores.memory import MemoryStore
from phone_verify.sync import TaskWaiting, ThreadWaiting
from phone_verify.testing.stores import together
from phone_verify.verifier import repeats
from phone_verify.verifier.blocking import Verifier
from phone_verify.verifier.operations import AsyncVerifier
from phone_verify.verifier.repeats import Repeat
from tests.cases import in_one_test
from tests.core.harness import OTHER_PHONE, PHONE, REFUSED, AsyncFace, Driver, Harness, awaited, flash, sms

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
START = "v1/verifications"
FIELDS = {"phone": PHONE.e164}

pytestmark = pytest.mark.usefixtures("face")


class Waits(ThreadWaiting):
    """Moves the time of a harness instead of waiting, and lists the pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.on_pause: Callable[[float], object] = lambda _: None

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.on_pause(seconds)


class Desk:
    """A site over a harness, and shortcuts to call it."""

    def __init__(self, *drivers: Driver, before_send: Hook | None = None, **more: Any) -> None:
        self.driver = drivers[0] if drivers else sms()
        self.waits = Waits()
        settings = {name: more.pop(name) for name in ("proxies",) if name in more}
        self.harness = Harness(*(drivers or (self.driver,)), waiting=self.waits, **more)
        self.waits.on_pause = self.time_goes_by
        if before_send is not None:
            self.harness.parts = replace(self.harness.parts, before_send=BeforeSend(lambda: before_send))
            self.harness.verifier = Harness.face(self.harness.parts)
        self.flows = AsyncFace(self.harness.parts).flows
        self.site = Site(self.harness.verifier, make_async_verifier=lambda: self.flows, **settings)

    def time_goes_by(self, seconds: float) -> None:
        self.harness.ticks += seconds
        self.harness.clock.move(seconds)

    def call(self, path: str = START, fields: object = None, key: str | None = KEY, **more: Any) -> ApiResponse:
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        if key is not None:
            headers["idempotency-key"] = key
        body = more.pop("body", None) or json.dumps(FIELDS if fields is None else fields).encode()
        if cookie := more.get("cookie"):
            headers.setdefault("cookie", f"phone_verify={cookie}")
        call = ApiRequest("POST", path, headers, body=body, **{"peer": "192.0.2.1", **more})
        blocking = Harness.face is Verifier
        answer = handle(self.site, call) if blocking else awaited(ahandle(self.site, call))
        assert isinstance(answer, ApiResponse)
        return answer

    @property
    def sends(self) -> int:
        return len(self.driver.orders)


def problem(answer: ApiResponse) -> tuple[int, object]:
    assert answer.document is not None
    return answer.status, answer.document.get("code")


def document(answer: ApiResponse) -> Mapping[str, Any]:
    assert answer.document is not None
    assert answer.status in (200, 201), answer.document
    return answer.document


def without_times(answer: ApiResponse) -> Mapping[str, object]:
    return {name: value for name, value in document(answer).items() if name not in ("expires_in", "resend_in")}


# The header


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (KEY, f'"{KEY}"'),
        ("k", '"k"'),
        ("x" * 255, '"' + "x" * 255 + '"'),
        ("a\\b", '"a\\\\b"'),
        ('a"b', '"a\\"b"'),
        ("a,b;c=1", '"a,b;c=1"'),
    ],
    ids=ascii,
)
def test_key_is_the_same_quoted_and_bare(first: str, second: str) -> None:
    desk = Desk()
    assert desk.call(key=first) == desk.call(key=second)
    assert desk.sends == 1


@in_one_test
@pytest.mark.parametrize(
    "key",
    [
        *("", '""', '"', '"a', '"a"b', '"a";p=1', '"a", "b"', '"a\\b"', '"a b"', '"' + "x" * 256 + '"', "x" * 256),
        *("a b", "a\tb", "a\n", " ", "a ", "\x7f", "é", "۱", "\udc80"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("path", [START, f"{START}/{'A' * 44}/resend"])
def test_malformed_key_is_refused(key: str, path: str) -> None:
    desk = Desk()
    answer = desk.call(path, None if path == START else {}, key=key)
    assert problem(answer) == (400, "invalid_request")
    assert "Idempotency-Key" in str(document_of_problem(answer)["detail"])
    assert desk.sends == 0


def document_of_problem(answer: ApiResponse) -> Mapping[str, object]:
    assert answer.document is not None
    return answer.document


def test_body_is_judged_before_the_key_and_the_key_before_the_origin() -> None:
    desk, elsewhere = Desk(), {"sec-fetch-site": "cross-site"}
    assert document_of_problem(desk.call(fields={"phone": 1}, key="a b"))["fields"] == ["phone"]
    assert problem(desk.call(key="a b", headers=elsewhere)) == (400, "invalid_request")
    assert problem(desk.call(headers=elsewhere)) == (403, "cross_site")


# Repetitions


def test_repetition_gets_the_same_response_and_sends_nothing() -> None:
    desk = Desk()
    first = desk.call()
    assert first.status == 201
    desk.time_goes_by(7)
    second = desk.call()
    assert (second.status, second.cookie, second.headers) == (201, first.cookie, first.headers)
    assert without_times(second) == without_times(first)
    assert document(second)["expires_in"] == document(first)["expires_in"] - 7
    assert document(second)["resend_in"] == document(first)["resend_in"] - 7
    assert desk.sends == 1


def test_response_is_kept_for_ten_minutes_also_after_the_end() -> None:
    desk = Desk()
    first = document(desk.call())
    desk.harness.verifier.cancel(first["id"], first["secret"])
    desk.time_goes_by(KEPT_FOR.total_seconds() - 1)
    second = document(desk.call())
    assert (second["id"], second["status"], second["expires_in"], second["resend_in"]) == (first["id"], "sent", 0, 0)
    desk.time_goes_by(1)
    assert document(desk.call())["id"] != first["id"]
    assert desk.sends == 2


def test_body_may_be_written_differently() -> None:
    desk = Desk()
    body = f'{{"phone": "{PHONE.e164}", "channel": "sms"}}'.encode()
    other = f' {{"channel":"\\u0073ms",\n "phone":"{PHONE.e164}"}}'.encode()
    assert desk.call(body=body) == desk.call(body=other)


@pytest.mark.parametrize(
    "fields",
    [
        {"phone": OTHER_PHONE.e164},
        {"phone": PHONE.e164, "purpose": "signup"},
        {"phone": PHONE.e164, "channel": "sms"},
        {"phone": PHONE.e164, "locale": "\ud800"},
    ],
)
def test_another_body_is_refused(fields: dict[str, str]) -> None:
    desk = Desk()
    first = desk.call()
    answer = desk.call(fields=fields)
    assert problem(answer) == (422, "idempotency_mismatch")
    assert str(document(first)["secret"]) not in repr(answer.document)
    assert desk.call(fields=fields, key="another").status == 201
    assert desk.sends == 2


def test_each_key_and_each_start_without_one_sends() -> None:
    desk = Desk()
    answers = [desk.call(), desk.call(key="another"), desk.call(key=None), desk.call(key=None), desk.call(key=KEY[:-1])]
    assert len({document(answer)["id"] for answer in answers}) == desk.sends == 5


def test_site_decides_once_about_a_repeated_start() -> None:
    answers: list[Any] = [Refusal(), None]
    desk = Desk(before_send=lambda *_: answers.pop(0))
    captcha = {**FIELDS, "extra": {"captcha": "used once"}}
    assert desk.call(fields=captcha).status == 403
    assert desk.call(fields=captcha).status == desk.call(fields=captcha).status == 201
    assert answers == []
    assert problem(desk.call(fields={**FIELDS, "extra": {"captcha": "another"}})) == (422, "idempotency_mismatch")


def test_refusal_is_not_kept() -> None:
    desk = Desk(sms(REFUSED))
    assert problem(desk.call()) == (502, "delivery_failed")
    assert desk.call(fields={"phone": OTHER_PHONE.e164}).status == 201, "the key is free, for any body"
    assert desk.sends == 2


def test_throttled_start_leaves_no_place() -> None:
    desk = Desk(sends_per_hour=1)
    assert desk.call().status == 201
    assert problem(desk.call(key="another")) == (429, "too_many_requests")
    store = desk.harness.store
    assert len(store._places) == 2, "of the first start: for its client, and for the holder of its secret"


# Clients


def clients() -> list[dict[str, Any]]:
    """Requests of different clients."""
    pair = with_pair("", "A" * 44, "s" * 22)
    return [
        {"peer": "192.0.2.1"},
        {"peer": "192.0.2.2"},
        {"peer": None},
        {"cookie": pair},
        {"cookie": with_pair("", "A" * 44, "t" * 22)},
        {"headers": {"cookie": "sessionid=a"}},
        {"headers": {"cookie": "sessionid=b"}},
        {"headers": {"cookie": "sessionid=a; csrftoken=c"}},
        {"headers": {"cookie": "__Host-session=a"}},
        {"headers": {"authorization": "Bearer a"}},
        {"headers": {"authorization": "Bearer b"}},
        {"headers": {"authorization": "Token c"}},
        {"headers": {"cookie": "sessionid=a"}, "user": SessionUser("1", None), "has_session": True},
        {"headers": {"cookie": "sessionid=a"}, "user": SessionUser("2", None), "has_session": True},
    ]


def test_another_client_with_the_same_key_starts_its_own() -> None:
    desk = Desk()
    answers = [[document(desk.call(**who))["id"] for who in clients()] for _ in range(2)]
    assert len(set(answers[0])) == len(clients()) == desk.sends
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": {"cookie": "b=2; a=1"}}, {"headers": {"cookie": "a=1;b=2"}, "peer": "198.51.100.7"}),
        ({"headers": {"cookie": "a=1; _ga=1.2"}}, {"headers": {"cookie": "a=1; _ga=1.3; __cf_bm=x"}}),
        ({"headers": {"cookie": "_ga=1.2"}}, {}),
        ({"headers": {"authorization": "Basic c2l0ZTpwYXNz"}}, {}),
        (
            {"headers": {"authorization": "Bearer a", "cookie": "a=1"}},
            {"headers": {"authorization": "bearer a", "cookie": "a=2"}, "peer": "198.51.100.7"},
        ),
        ({"peer": "2001:db8::1"}, {"peer": "2001:db8::2"}),
    ],
    ids=["address", "statistics", "only statistics", "basic", "bearer", "ipv6"],
)
def test_these_are_the_same_client(first: dict[str, Any], second: dict[str, Any]) -> None:
    desk = Desk()
    assert document(desk.call(**first)) == document(desk.call(**second))
    assert desk.sends == 1


def test_address_behind_a_proxy_counts() -> None:
    desk = Desk(proxies=Proxies(count=1))
    ids = [document(desk.call(headers={"x-forwarded-for": f"192.0.2.{n}"}))["id"] for n in (1, 2, 1)]
    assert ids[0] == ids[2] != ids[1]


def test_client_that_has_the_response_gets_it_again() -> None:
    desk = Desk()
    first = desk.call()
    again = desk.call(cookie=first.cookie)
    assert document(again) == document(first), "its cookies have changed by the response"
    assert again.cookie == first.cookie
    later = desk.call(key="another", fields={"phone": OTHER_PHONE.e164}, cookie=first.cookie)
    assert document(desk.call(cookie=later.cookie)) == document(first)
    shown = {"verification-secret": document(first)["secret"]}
    assert document(desk.call(headers=shown, peer="198.51.100.7")) == document(first)
    assert desk.sends == 2


def test_wrong_secret_shows_nothing_of_another_client() -> None:
    desk = Desk()
    first = desk.call(headers={"cookie": "sessionid=a"})
    other = desk.call(headers={"cookie": "sessionid=b", "verification-secret": "x" * 22})
    assert document(other)["id"] != document(first)["id"]


def test_repetition_is_noted_only_in_the_session_that_started() -> None:
    desk = Desk()
    session = {"has_session": True, "headers": {"cookie": "sessionid=a"}}
    first = desk.call(**session)
    id = document(first)["id"]
    assert first.started == [id]
    assert desk.call(**session, started=["B" * 44]).started == [id, "B" * 44], "its response may have been lost"
    other = desk.call(
        has_session=True, headers={"cookie": "sessionid=b", "verification-secret": document(first)["secret"]}
    )
    assert (document(other)["id"], other.started) == (id, None)
    assert desk.call().started is None


def test_sign_in_between_two_attempts_makes_another_client() -> None:
    desk = Desk()
    session = {"has_session": True, "headers": {"cookie": "sessionid=a"}}
    first = desk.call(**session)
    assert document(desk.call(**session, user=SessionUser("1", None)))["id"] != document(first)["id"]


def test_one_key_names_one_call() -> None:
    desk = Desk()
    first = document(desk.call())
    shown = {"verification-secret": first["secret"]}
    desk.time_goes_by(60)
    assert problem(desk.call(f"{START}/{first['id']}/resend", {}, headers=shown)) == (422, "idempotency_mismatch")
    assert desk.call(f"{START}/{first['id']}/resend", {}, key="another", headers=shown).status == 200


# Resends


def resend(desk: Desk, started: Mapping[str, Any], key: str | None = KEY, fields: object = None, **more: Any) -> Any:
    shown = {"verification-secret": started["secret"], **more.pop("headers", {})}
    return desk.call(f"{START}/{started['id']}/resend", fields or {}, key=key, headers=shown, **more)


def test_repeated_resend_sends_once() -> None:
    desk = Desk()
    started = document(desk.call(key=None))
    desk.time_goes_by(60)
    first = resend(desk, started)
    assert first.status == 200
    desk.time_goes_by(5)
    second = resend(desk, started, peer="198.51.100.7")
    assert without_times(second) == without_times(first)
    assert document(second)["resend_in"] == document(first)["resend_in"] - 5
    assert problem(resend(desk, started, key="another")) == (429, "too_many_requests")
    assert problem(resend(desk, started, fields={"channel": "sms"})) == (422, "idempotency_mismatch")
    by_cookie = desk.call(f"{START}/{started['id']}/resend", {}, cookie=with_pair("", started["id"], started["secret"]))
    assert without_times(by_cookie) == without_times(first)
    assert second.cookie is second.started is None
    assert desk.sends == 2


def test_resend_without_the_secret_is_not_found() -> None:
    desk = Desk()
    started = document(desk.call(key=None))
    desk.time_goes_by(60)
    assert resend(desk, started).status == 200
    assert problem(resend(desk, started, headers={"verification-secret": "x" * 22})) == (404, "not_found")
    assert problem(desk.call(f"{START}/{started['id']}/resend", {})) == (404, "not_found")
    assert problem(desk.call(f"{START}/nothing/resend", {})) == (404, "not_found")
    assert len(desk.harness.store._places) == 1, "a refusal leaves none"


def test_refused_resend_is_not_kept() -> None:
    desk = Desk(sms(), flash())
    started = document(desk.call(key=None, fields={"phone": PHONE.e164, "channel": "sms"}))
    assert problem(resend(desk, started)) == (429, "too_many_requests")
    desk.time_goes_by(60)
    assert resend(desk, started).status == 200


def test_resends_of_two_verifications_are_two_calls() -> None:
    desk = Desk()
    both = [document(desk.call(key=None, fields={"phone": phone.e164})) for phone in (PHONE, OTHER_PHONE)]
    desk.time_goes_by(60)
    assert [document(resend(desk, started))["id"] for started in both] == [started["id"] for started in both]
    assert desk.sends == 4


def test_secret_of_another_verification_shows_no_resend_of_it() -> None:
    desk = Desk()
    one, two = (document(desk.call(key=None, fields={"phone": phone.e164})) for phone in (PHONE, OTHER_PHONE))
    desk.time_goes_by(60)
    assert resend(desk, one).status == 200
    assert problem(resend(desk, {**two, "secret": one["secret"]})) == (422, "idempotency_mismatch")


# What a store sees


def of_start_in(desk: Desk) -> Any:
    """Return the values that a start with a key passes on."""
    call = ApiRequest("POST", START, {"cookie": "sessionid=visitor"})
    return idempotency.of_start(desk.site, call, KEY, FIELDS, "tag"), Repeat("secret", desk.harness.clock(), True)


def test_store_and_logs_see_neither_secret_nor_key(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    answer = desk.call(headers={"cookie": "sessionid=visitor"})
    id = document(answer)["id"]
    places = [repr(of_start_in(desk))]
    for name, taken in desk.harness.store._places.items():
        place = taken.place
        places.append(f"{name} {place.holder} {place.request} {place.response} {taken}")
    everything = repr(list(vars(desk.harness.store).values()))
    for hidden in (document(answer)["secret"], KEY, "visitor"):
        assert hidden not in everything
    for hidden in (document(answer)["secret"], KEY, "visitor", id[TAG_LENGTH:], PHONE.e164):
        assert not any(hidden in text for text in (*places, caplog.text))


def test_kept_response_that_was_changed_is_not_returned() -> None:
    desk = Desk()
    assert desk.call().status == 201
    store = desk.harness.store
    for name, taken in store._places.items():
        text = taken.place.response
        other = ("B" if text[0] == "A" else "A") + text[1:]
        store._places[name] = taken._replace(place=replace(taken.place, response=other))
    assert problem(desk.call()) == (503, "unavailable")


def test_start_without_a_key_costs_no_store_step() -> None:
    steps: list[str] = []

    class Counting(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in ("count", "open", "attach", "reserve", "keep_response", "release", "get"):
                steps.append(name)
            return super().__getattribute__(name)

    desk = Desk(store=Counting())
    desk.call(key=None)
    assert steps == ["count", "open", "attach"]
    steps.clear()
    desk.call()
    assert steps == ["reserve", "count", "open", "attach", "keep_response"]
    steps.clear()
    desk.call()
    assert steps == ["reserve"]


# Failures


def test_store_outage_is_503() -> None:
    desk = Desk()
    desk.harness.store.refuse("a test")
    answer = desk.call()
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert desk.sends == 0


def test_response_is_given_although_it_cannot_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryStore):
        async def keep_response(self, *_: Any) -> bool:
            raise StoreError("down")

    desk = Desk(store=Failing())
    assert desk.call().status == 201
    assert "was not kept: down" in caplog.text


def test_failure_of_a_start_frees_the_key() -> None:
    def refuse() -> None:
        raise ProviderError(FailureKind.BALANCE, "empty")

    desk = Desk()
    desk.driver.on_start = refuse
    assert problem(desk.call())[0] == 502
    desk.driver.on_start = lambda: None
    assert desk.call().status == 201


class Killed(BaseException):
    """The process dies here."""


def test_crash_blocks_the_key_for_a_minute_only() -> None:
    def die() -> None:
        raise Killed

    desk = Desk()
    desk.driver.on_start = die
    with pytest.raises(Killed):
        desk.call()
    desk.driver.on_start = lambda: None
    answer = desk.call()
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "still being processed" in str(document_of_problem(answer)["detail"])
    assert problem(desk.call(fields={"phone": OTHER_PHONE.e164})) == (422, "idempotency_mismatch")
    desk.time_goes_by(RESERVED_FOR.total_seconds() - repeats.LONGEST_WAIT)
    assert desk.call().status == 201
    assert desk.sends == 2


# Simultaneous requests


def test_repetition_waits_for_the_first_with_growing_pauses() -> None:
    desk, second = Desk(), []
    desk.driver.on_start = lambda: second.append(desk.call())
    first = desk.call()
    assert first.status == 201
    assert [problem(answer) for answer in second] == [(503, "unavailable")]
    pauses = desk.waits.pauses
    assert repeats.LONGEST_WAIT <= sum(pauses) <= repeats.LONGEST_WAIT + repeats.LONGEST_PAUSE
    assert pauses[:5] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert set(pauses[5:]) == {1.0}
    assert document(desk.call())["id"] == document(first)["id"]


def test_waiting_repetition_starts_if_the_first_is_refused() -> None:
    desk = Desk(sms(REFUSED))
    place = []

    def released(seconds: float) -> None:
        desk.time_goes_by(seconds)
        if len(desk.waits.pauses) == 3:
            desk.harness.store._places.clear()  # what the release of the first one does

    def repeat() -> None:
        desk.driver.on_start = lambda: None
        desk.waits.on_pause = released
        place.append(desk.call())

    desk.driver.on_start = repeat
    desk.call()
    assert desk.sends == 2
    assert len(desk.waits.pauses) == 3


def test_number_of_waiting_repetitions_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_WAITING", 0)
    desk, second = Desk(), []
    desk.driver.on_start = lambda: second.append(desk.call())
    assert desk.call().status == 201
    assert [problem(answer) for answer in second] == [(503, "unavailable")]
    assert desk.waits.pauses == []


class Pausing(ThreadWaiting):
    """Waits as a site does, and sets an event first."""

    def __init__(self) -> None:
        self.began = threading.Event()

    async def pause(self, seconds: float) -> None:
        self.began.set()
        await super().pause(min(seconds, 0.01))


def test_fifty_threads_send_once() -> None:
    desk = Desk()
    waiting = Pausing()
    flows = AsyncVerifier(replace(desk.harness.parts, waiting=waiting))
    desk.site = replace(desk.site, verifier=_verifier(flows), make_async_verifier=lambda: flows)
    desk.driver.on_start = lambda: waiting.began.wait(30)
    answers = together(50, lambda _: desk.call())
    assert desk.sends == 1
    assert len({json.dumps(without_times(answer)) for answer in answers}) == 1


def _verifier(flows: AsyncVerifier) -> Verifier:
    verifier = Verifier(flows._parts)
    verifier._current = lambda: flows
    return verifier


class Loop:
    """A site in an event loop, whose provider takes its time."""

    def __init__(self) -> None:
        self.sends, self.answering, self.asked = 0, asyncio.Event(), asyncio.Event()
        desk = Desk()
        self.flows = AsyncVerifier(replace(desk.harness.parts, waiting=TaskWaiting()))
        start = self.flows.start

        async def slowly(*args: Any, **named: Any) -> Any:
            self.sends += 1
            self.asked.set()
            await self.answering.wait()
            return await start(*args, **named)

        vars(self.flows)["start"] = slowly
        self.site = Site(desk.harness.verifier, make_async_verifier=lambda: self.flows)

    def call(self) -> Coroutine[Any, Any, Any]:
        headers = {"content-type": "application/json", "idempotency-key": KEY}
        return ahandle(self.site, ApiRequest("POST", START, headers, body=json.dumps(FIELDS).encode()))


def test_fifty_tasks_wait_without_blocking_the_loop() -> None:
    async def fifty() -> None:
        loop = Loop()
        calls = [asyncio.create_task(loop.call()) for _ in range(50)]
        await asyncio.wait_for(loop.asked.wait(), 5)
        await asyncio.sleep(0)  # the loop runs while they wait
        loop.answering.set()
        answers = await asyncio.wait_for(asyncio.gather(*calls), 20)
        assert loop.sends == 1
        assert len({json.dumps(without_times(answer)) for answer in answers}) == 1

    asyncio.run(fifty())


def test_start_ends_although_its_client_disconnects() -> None:
    async def lost() -> None:
        loop = Loop()
        first = asyncio.create_task(loop.call())
        await asyncio.wait_for(loop.asked.wait(), 5)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        loop.answering.set()
        answer = await asyncio.wait_for(loop.call(), 20)
        assert answer.document is not None
        assert (answer.status, answer.document["status"], loop.sends) == (201, Status.SENT, 1)

    asyncio.run(lost())


def test_disconnect_during_the_reservation_frees_the_key() -> None:
    async def lost() -> None:
        loop = Loop()
        store, taken = loop.flows._parts.store, asyncio.Event()
        reserve = store.reserve

        async def slowly(*args: Any) -> Any:
            place = await reserve(*args)
            await taken.wait()
            return place

        vars(store)["reserve"] = slowly
        loop.answering.set()
        first = asyncio.create_task(loop.call())
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        taken.set()
        answer = await asyncio.wait_for(loop.call(), 30)
        assert (answer.status, loop.sends) == (201, 1)

    asyncio.run(lost())


def test_starts_with_other_keys_do_not_wait() -> None:
    desk, other = Desk(), []

    def start_another() -> None:
        desk.driver.on_start = lambda: None
        other.append(desk.call(key="another"))

    desk.driver.on_start = start_another
    assert [answer.status for answer in (desk.call(), *other)] == [201, 201]
    assert desk.waits.pauses == []
