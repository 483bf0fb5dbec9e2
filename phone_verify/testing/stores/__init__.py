"""The suite that every store must pass: the contract of `stores/base.py`, and races with real
threads.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self):
            return MyStore(…)

        @pytest.fixture
        def forgetful(self):
            return MyStore(…, keep=PROOF_LIFE)

A store whose server expires everything by itself leaves out `StoreSweeping`: it subclasses
`StorePromises` and `StoreRaces`. Time is a `ManualClock`, so nothing waits. `PHONE_VERIFY_ROUNDS`
sets how often each race is run.
"""

from __future__ import annotations

from .attempts import AttemptPromises
from .calls import CallPromises
from .case import (
    BINDING,
    CALL,
    KEYRING,
    LIFE,
    LIMITS,
    LINE,
    NO_DELAY,
    NOBODY,
    OURS,
    PHONE,
    REMOTE,
    RIGHT,
    ROUNDS,
    SHORT,
    TOLD,
    WRONG,
    attachment,
    failure_count,
    opening,
    run,
    together,
)
from .conversions import ConversionPromises, ConversionSweeping
from .failures import FailurePromises
from .lines import LeasePromises
from .places import PlacePromises, PlaceSweeping, reservation
from .purging import StoreSweeping
from .quotas import QuotaPromises
from .races import StoreRaces
from .receipts import ReceiptPromises
from .records import RecordPromises
from .references import ReferencePromises
from .side_by_side import SideBySidePromises

__all__ = [
    "BINDING",
    "CALL",
    "KEYRING",
    "LIFE",
    "LIMITS",
    "LINE",
    "NOBODY",
    "NO_DELAY",
    "OURS",
    "PHONE",
    "REMOTE",
    "RIGHT",
    "ROUNDS",
    "SHORT",
    "TOLD",
    "WRONG",
    "StorePromises",
    "StoreRaces",
    "StoreSuite",
    "StoreSweeping",
    "Sweeping",
    "attachment",
    "failure_count",
    "opening",
    "reservation",
    "run",
    "together",
]


class StorePromises(
    RecordPromises,
    QuotaPromises,
    ReceiptPromises,
    SideBySidePromises,
    AttemptPromises,
    FailurePromises,
    CallPromises,
    PlacePromises,
    LeasePromises,
    ReferencePromises,
    ConversionPromises,
):
    """The contract of a store, step by step."""


class Sweeping(StoreSweeping, PlaceSweeping, ConversionSweeping):
    """The contract of a store that purges what has expired."""


class StoreSuite(StorePromises, Sweeping, StoreRaces):
    """The whole suite. Subclasses define the fixtures `store` and `forgetful`; `stores` may return
    several on the same data.
    """
