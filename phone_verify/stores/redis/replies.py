"""Replies of the scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ...limits import Counted, DenialReason, Denied, Tally, TallyChange
from ...model import Failures, Verification
from .records import VALUES, record_of, time_of

#: How many numbers an answer changes besides its record.
CHANGES = 4


class Reply(NamedTuple):
    """A script's reply, after the mark of the call."""

    word: str
    read_at: datetime
    failures: Failures | None
    retry_after: int
    values: Sequence[str]

    @property
    def done(self) -> bool:
        return self.word == "done"

    def found(self) -> Verification:
        return record_of(self.values, self.read_at, self.failures)

    def read(self) -> Verification | None:
        return self.found() if len(self.values) > 1 else None

    def counted(self) -> Counted:
        """The windows in which shared quotas counted a send, and the tally."""
        *ends, short, long, right, _ = self.values
        return Counted([time_of(end) for end in ends], Tally(int(short), int(long), int(right)))

    def tally(self) -> TallyChange | None:
        """What an answer changes besides its record."""
        change = TallyChange(*map(int, self.values[VALUES : VALUES + CHANGES]))
        return change if change != TallyChange() else None

    def refused(self) -> Denied:
        wait = timedelta(microseconds=self.retry_after) if self.retry_after else None
        return Denied(DenialReason(self.word), wait, self.read())
