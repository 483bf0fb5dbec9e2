"""Timestamps in the session and their age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from freezegun import freeze_time

from phone_verify.http import session_time


def test_age_of_a_timestamp_increases() -> None:
    with freeze_time("2030-01-01 12:00:00.9") as time:
        kept = session_time.now()
        assert type(kept) is int
        time.tick(timedelta(seconds=60))
        assert session_time.age_of(kept) == timedelta(seconds=60.9)


@pytest.mark.parametrize(("ahead", "known"), [(5, True), (6, False)])
def test_future_timestamp_is_valid_within_clock_skew(ahead: int, known: bool) -> None:
    with freeze_time("2030-01-01 12:00"):
        assert session_time.age_of(session_time.now() + ahead) == (timedelta(0) if known else None)


@pytest.mark.parametrize("kept", [None, True, "1", 1.5, [1]])
def test_invalid_timestamp_has_no_age(kept: object) -> None:
    assert session_time.age_of(kept) is None


@pytest.mark.parametrize("span", [600, 600.0, timedelta(minutes=10)])
def test_duration_accepts_seconds_and_timedelta(span: timedelta | float) -> None:
    assert session_time.to_timedelta(span) == timedelta(minutes=10)
