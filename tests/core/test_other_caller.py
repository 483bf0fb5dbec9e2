"""A call from another phone: noted for the visitor who waits, and never proof of anything."""

from __future__ import annotations

import pytest

from phone_verify.lines import OTHER_CALLER_SHOWN, other_phone_called
from phone_verify.model import CallState, Receipt, Sighting, Status

from .harness import CALL, LINE, OTHER_LINE, OTHER_PHONE, PHONE, Caller, DeafCaller, Harness, webhook
from .test_combined import FIXED

pytestmark = pytest.mark.usefixtures("face")

OTHER_CALLED = Sighting(CallState.CALLED, OTHER_PHONE)


def noted(harness: Harness, id: str, secret: str) -> bool:
    record = harness.verifier.get(id, secret).verification
    assert record is not None
    return other_phone_called(record)


def call(harness: Harness, caller: str = OTHER_PHONE.e164, line: str = LINE.e164, **more: str) -> bool:
    return harness.verifier.receive("deaf", webhook(caller=caller, line=line, **more)).verified


def test_foreign_call_on_the_line_is_noted_for_a_minute() -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE)))
    id, secret = harness.begun(CALL)
    assert not noted(harness, id, secret)
    assert call(harness) is False
    outcome = harness.verifier.poll(id, secret)
    assert outcome.proof is None
    assert noted(harness, id, secret)
    harness.clock.move(OTHER_CALLER_SHOWN.total_seconds())
    assert not noted(harness, id, secret)
    assert call(harness, PHONE.e164) is True, "the right phone still verifies"
    assert not noted(harness, id, secret)


@pytest.mark.parametrize(
    "event",
    [
        {"line": OTHER_LINE.e164},
        {"line": ""},
        {"caller": ""},
        {"caller": PHONE.e164, "id": "unknown"},
    ],
    ids=str,
)
def test_other_events_are_not_noted(event: dict[str, str]) -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE)))
    id, secret = harness.begun(CALL)
    assert call(harness, **event) is False
    assert not noted(harness, id, secret)


def test_call_on_a_shared_line_is_noted_for_nobody() -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE), Receipt(line=LINE)))
    first, second = harness.begun(CALL), harness.begun(CALL, FIXED)
    assert call(harness) is False
    assert not noted(harness, *first)
    assert not noted(harness, *second)


def test_own_call_of_a_second_visitor_is_not_foreign() -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE), Receipt(line=LINE)))
    first = harness.begun(CALL)
    harness.begun(CALL, OTHER_PHONE)
    assert call(harness) is True
    assert not noted(harness, *first)


def test_repeated_calls_are_written_once_in_ten_seconds() -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE)))
    id, secret = harness.begun(CALL)
    times = []
    for _ in range(4):
        call(harness)
        record = harness.verifier.get(id, secret).verification
        assert record is not None
        times.append(record.other_caller_at)
        harness.clock.move(4)
    assert times[0] == times[1] == times[2] != times[3]


@pytest.mark.parametrize("sighting", [OTHER_CALLED, Sighting(CallState.CALLED), Sighting(CallState.WAITING)], ids=str)
def test_polled_provider_reports_the_foreign_caller(sighting: Sighting) -> None:
    harness = Harness(Caller([Receipt("ref", line=LINE)], [sighting, Sighting(CallState.CALLED, PHONE)]))
    id, secret = harness.begun(CALL)
    outcome = harness.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert outcome.verification.state is Status.SENT
    assert other_phone_called(outcome.verification) == (sighting is OTHER_CALLED), "a hidden caller may be the visitor"
    harness.clock.move(3)
    assert harness.verifier.poll(id, secret).proof is not None


def test_record_keeps_nothing_about_the_caller() -> None:
    harness = Harness(DeafCaller(Receipt(line=LINE)))
    id, secret = harness.begun(CALL)
    call(harness)
    kept = repr(harness.verifier.get(id, secret).verification)
    assert OTHER_PHONE.e164[-4:] not in kept
