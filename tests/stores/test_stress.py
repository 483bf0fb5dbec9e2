"""Every store under stress: four processes with four threads each, which start simultaneously; and kill -9."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phone_verify import Started
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.lifecycle import AttemptResult, Spent
from phone_verify.limits import Denied, Limits, Quota
from phone_verify.model import Channel, IncomingCall, Reason, Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import Store, counts_and_opens
from phone_verify.testing.stores import (
    BINDING,
    CALL,
    LIMITS,
    LINE,
    NO_DELAY,
    NOBODY,
    RIGHT,
    WRONG,
    attachment,
    opening,
    run,
)
from phone_verify.verifier import operations as flows
from tests.stores import processes
from tests.stores.processes import Place, at_once, die, started

ROUNDS = int(os.environ.get("PHONE_VERIFY_ROUNDS", "1"))

pytestmark = [
    pytest.mark.race,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # A forked child shares its parent's connections, and closes none of them.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module", params=processes.NAMES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Place]:
    with processes.place(request.param, tmp_path_factory.mktemp("place"), django_db_blocker) as place:
        yield place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """The store as the test itself uses it; every test uses different phones."""
    yield place.open()
    place.thread_done()


_numbers = itertools.count(os.getpid() % 1000 * 1000)


@pytest.fixture
def phone() -> PhoneNumber:
    return PhoneNumber(f"+98912{next(_numbers):07}")


def opened(store: Store, phone: PhoneNumber, *arguments: Any, **changes: Any) -> Verification:
    record = run(store.open(opening(phone, *arguments, **changes), [], LIMITS, None))
    assert isinstance(record, Verification)
    return record


def guess(store: Store, id: str, digest: bytes, limits: Limits = LIMITS) -> Spent | Denied:
    return run(store.spend(id, BINDING, [digest], 6, limits, NOBODY, None))


def spent(answers: list[Any]) -> list[Spent]:
    return [answer for answer in answers if isinstance(answer, Spent)]


@pytest.mark.parametrize("_", range(ROUNDS))
def test_two_hundred_guesses_get_five_comparisons(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    id = opened(store, phone).id
    answers, compared = at_once(place, 200, lambda store, _: guess(store, id, WRONG))
    assert sorted(answer.record.attempts_left for answer in spent(answers)) == [0, 1, 2, 3, 4]
    assert compared == (5 if place.compares_here else 0)


@pytest.mark.parametrize("_", range(ROUNDS))
def test_right_code_given_a_hundred_times_succeeds_once(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    id = opened(store, phone).id
    answers, compared = at_once(place, 100, lambda store, _: guess(store, id, RIGHT))
    assert [answer.answer for answer in spent(answers)] == [AttemptResult.RIGHT]
    assert compared == (1 if place.compares_here else 0)


@pytest.mark.parametrize("_", range(ROUNDS))
def test_five_hundred_verifications_of_a_phone_share_its_limit(
    place: Place, store: Store, phone: PhoneNumber, _: int
) -> None:
    orders = [opening(phone) for _ in range(500)]

    def open_and_guess(store: Store, number: int) -> Spent | Denied | Verification:
        record = run(store.open(orders[number], [], LIMITS, None))
        return record if isinstance(record, Denied) else guess(store, record.id, WRONG)

    answers, compared = at_once(place, 500, open_and_guess)
    counts = [answer.failures.count for answer in spent(answers) if answer.failures]
    assert sorted(counts) == list(range(1, LIMITS.failures + 1))
    assert compared == (LIMITS.failures if place.compares_here else 0)


@pytest.mark.parametrize("_", range(ROUNDS))
def test_resends_in_between_refill_nothing(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    order = opening(phone, resend_after=NO_DELAY)
    run(store.open(order, [], LIMITS, None))

    def resend_or_guess(store: Store, number: int) -> Any:
        if number % 4:
            return guess(store, order.id, WRONG)
        again = run(store.reopen(order.id, BINDING, Channel.SMS, False, [], LIMITS, NO_DELAY, None))
        if isinstance(again, Verification):
            return run(store.attach(order.id, attachment(order, sends=again.sends, generation=again.sends), None))
        return again

    answers, compared = at_once(place, 80, resend_or_guess)
    assert sorted(answer.record.attempts_left for answer in spent(answers)) == [0, 1, 2, 3, 4]
    assert compared == (5 if place.compares_here else 0)
    found = run(store.get(order.id, None))
    assert found is not None
    assert found.expires_at <= found.created_at + order.plan.ttl


@pytest.mark.parametrize("_", range(ROUNDS))
def test_two_hundred_starts_for_a_phone_stay_within_its_quota(
    place: Place, store: Store, phone: PhoneNumber, _: int
) -> None:
    orders = [opening(phone) for _ in range(200)]
    own, shared = Quota("sends", 5), [Quota(f"total of {phone.e164}", 150), Quota(f"address of {phone.e164}", 120)]

    def start(store: Store, number: int) -> str | None:
        if (at_once := counts_and_opens(store)) is not None:
            opened = run(at_once.count_and_open(shared, orders[number], [own], LIMITS, None))
            return None if isinstance(opened, Denied) else opened[1].id
        counted = run(store.count(shared, None))
        if isinstance(counted, Denied):
            return None
        record = run(store.open(orders[number], [own], LIMITS, None))
        if isinstance(record, Denied):
            run(store.uncount(shared, counted.windows, None))
            return None
        return record.id

    answers, _compared = at_once(place, 200, start)
    ids = [id for id in answers if id]
    assert len(ids) == 5
    assert sum(run(store.get(order.id, None)) is not None for order in orders) == 5
    rest = [run(store.count(shared, None)) for _ in range(116)]
    assert [isinstance(answer, Denied) for answer in rest] == [False] * 115 + [True], "what was refused was given back"


@pytest.mark.parametrize("_", range(ROUNDS))
def test_claims_of_one_phone_never_share_a_line(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    orders = [opening(phone, CALL, binding=bytes([number]) * 32) for number in range(16)]
    for order in orders:
        run(store.open(order, [], LIMITS, None))

    def take_line(store: Store, number: int) -> Verification | Denied:
        return run(store.attach(orders[number].id, attachment(orders[number], line=LINE), None))

    answers, _compared = at_once(place, 16, take_line)
    assert sum(isinstance(answer, Verification) for answer in answers) == 1
    found = [run(store.get(order.id, None)) for order in orders]
    assert sum(record is not None and record.open and record.line == LINE for record in found) == 1


@pytest.mark.parametrize("_", range(ROUNDS))
def test_webhooks_and_polls_of_one_call_have_one_effect(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    order = opening(phone, CALL)
    run(store.open(order, [], LIMITS, None))
    run(store.attach(order.id, attachment(order, line=LINE, reference="ref"), None))

    def report(store: Store, number: int) -> bool:
        match number % 3:
            case 0:
                return run(store.claim("fake", order.tag, IncomingCall("ref", LINE, phone), None)) is not None
            case 1:
                return run(store.settle(order.id, Status.VERIFIED, None, 1))
            case _:
                return run(store.settle(order.id, Status.FAILED, None, 1))

    answers, _compared = at_once(place, 48, report)
    assert answers.count(True) == 1
    polls = opening(phone, CALL)
    run(store.open(polls, [], LIMITS, None))
    asked, _compared = at_once(place, 32, lambda store, _: run(store.may_poll(polls.id, BINDING, None)))
    assert asked.count(True) == 1


@pytest.mark.parametrize("_", range(ROUNDS))
def test_proof_signs_in_once(place: Place, store: Store, phone: PhoneNumber, _: int) -> None:
    id = opened(store, phone).id
    assert spent([guess(store, id, RIGHT)])
    answers, _compared = at_once(place, 100, lambda store, _: run(store.redeem(id, BINDING, "", None)) is not None)
    assert answers.count(True) == 1


# Killed between every two steps.


class Mortal:
    """Count the steps of a flow, and kill the process before the one with this number; `None` never does."""

    def __init__(self, number: int | None, notes: Path) -> None:
        self._left, self._notes = number, notes

    def step(self, **notes: str) -> None:
        """Another step is about to begin; results are recorded for the next process."""
        if notes:
            with self._notes.open("a") as file:
                file.write(json.dumps(notes) + "\n")
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                die()


class MortalStore:
    """A store whose process dies before or after one of its steps."""

    def __init__(self, store: Store, mortal: Mortal) -> None:
        self._store, self._mortal = store, mortal

    def __getattr__(self, verb: str) -> Any:
        async def step(*arguments: Any) -> Any:
            self._mortal.step(**({"id": arguments[0].id} if verb == "open" else {}))
            answer = await getattr(self._store, verb)(*arguments)
            self._mortal.step(**{verb: "done"})
            return answer

        return step


class MortalTransport:
    """A driver that delivers to the records."""

    def __init__(self, mortal: Mortal) -> None:
        self._mortal = mortal

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        self._mortal.step()
        if isinstance(request, Notice):
            self._mortal.step(code=re.findall(r"\b[0-9]{6}\b", request.text)[0])
            return HttpResponse(200)
        self._mortal.step(rang="yes")
        return HttpResponse(200, {}, b'{"code": "0063", "tracking_code": "TRK-0000000001"}')


SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0"


def site(store: Any, transport: Any = None) -> Any:
    settings = {
        "sms": "console://",
        "flash_call": "ferzz://KEY@default",
        "secret_keys": "a key for tests only and long enough for them",
        "store": "fire:",
    }
    return build_site(Settings.from_mapping(settings), stores={"fire": lambda url: store}, transport=transport).verifier


def dies(place: Place, work: Any) -> bool:
    """Run this in a separate process; return whether it was killed."""
    (child,) = started(place, [work])
    child.join(60)
    assert child.exitcode in (0, -9)
    return bool(child.exitcode)


def notes(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: value for line in lines for name, value in json.loads(line).items()}


#: The memory store ends with its process.
outlives = pytest.mark.parametrize("place", [name for name in processes.NAMES if name != "memory"], indirect=True)


@outlives
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.FLASH_CALL])
def test_killed_between_any_two_steps_of_a_start(
    place: Place, store: Store, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivered local code works, a provider code ends as pending; in both cases the next start is allowed."""
    monkeypatch.setattr(flows, "new_secret", lambda random: SECRET)
    for number in itertools.count(1):
        phone, file = PhoneNumber(f"+98912{next(_numbers):07}"), tmp_path / f"{number}"

        def start(number: int = number, phone: PhoneNumber = phone, file: Path = file) -> None:
            mortal = Mortal(number, file)
            site(MortalStore(place.open(), mortal), MortalTransport(mortal)).start(phone, channel=channel)

        killed = dies(place, start)
        after, verifier = notes(file), site(store)
        record = run(store.get(after["id"], None)) if "id" in after else None
        if "code" in after:
            outcome = verifier.check(after["id"], SECRET, after["code"])
            assert outcome.ok, f"killed before step {number}: {outcome.reason}"
        elif record is not None:
            assert record.status is (Status.SENT if "attach" in after else Status.PENDING)
            refused = {Reason.WRONG_CODE} if "attach" in after else {Reason.MALFORMED_CODE}
            assert verifier.check(record.id, SECRET, "0064").reason in refused
        again = site(store, MortalTransport(Mortal(None, tmp_path / "again"))).start(phone, channel=channel)
        assert again.ok, f"killed before step {number}: {again.reason}"
        if not killed:
            assert number > 6
            return


@outlives
def test_killed_between_any_two_steps_of_a_check(
    place: Place, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right code was given: it still works, or it was used; never both."""
    monkeypatch.setattr(flows, "new_secret", lambda random: SECRET)
    for number in itertools.count(1):
        phone, file = PhoneNumber(f"+98912{next(_numbers):07}"), tmp_path / f"{number}"
        begun = site(store, MortalTransport(Mortal(None, file))).start(phone, channel=Channel.SMS)
        assert isinstance(begun, Started)
        id, code = begun.verification.id, notes(file)["code"]

        def check(number: int = number, id: str = id, code: str = code, file: Path = file) -> None:
            verifier = site(MortalStore(place.open(), Mortal(number, file)))
            outcome = verifier.check(id, SECRET, code)
            verifier.redeem(outcome.proof, [SECRET], ["login"])

        killed = dies(place, check)
        after, verifier = notes(file), site(store)
        if "spend" in after:
            assert verifier.check(id, SECRET, code).reason is Reason.CLOSED
            proof = verifier.poll(id, SECRET).proof
            assert (proof is None) == ("redeem" in after)
        else:
            proof = verifier.check(id, SECRET, code).proof
        assert ("redeem" in after) or verifier.redeem(proof, [SECRET], ["login"])
        if not killed:
            assert number > 4
            return
