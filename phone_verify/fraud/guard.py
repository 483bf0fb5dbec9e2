"""The fraud guard: reads and counts what its rules weigh, by verbs that every store has.

Ranges and networks are counted in slots, whose number is a keyed digest: the state is bounded however
many numbers and addresses an attacker uses, which of them share a slot cannot be foreseen, and a slot
reveals no number and no address.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from ..codes import Keyring
from ..conversions import Conversion
from ..errors import StoreError
from ..limits import Counted, Denied, Quota
from ..model import Channel, Verification
from ..phone import PhoneNumber
from ..purposes import Budget
from ..stores.base import Store
from . import traffic
from .assessment import Assessment, Signal, Verdict, assessment_of
from .rules import FraudRules

log = logging.getLogger("phone_verify")

#: Channels on which the user pays for the call: an attacker gains nothing, and honest users have them left.
FREE_CHANNELS = frozenset({Channel.INBOUND_CALL})
#: How many ranges of one size are counted apart, and how many networks: of these each is one row at most.
SLOTS, NETWORK_SLOTS = 65_536, 1_048_576


@dataclass(frozen=True, slots=True)
class Decision:
    """The assessment of an order, the verdict, and the windows in which it was counted."""

    assessment: Assessment
    verdict: Verdict
    quotas: Sequence[Quota] = ()
    counted: Counted | None = None

    def __str__(self) -> str:
        """Return what the event says: `70:refused:conversion,network`."""
        reasons = ",".join(self.assessment.reasons)
        return ":".join([str(self.assessment.score), self.verdict, *([reasons] if reasons else [])])

    @property
    def is_refused(self) -> bool:
        """Whether the order must not be sent."""
        return self.verdict is Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class FraudExplanation:
    """How an order is weighed now: the assessment, the rules, and the weighted counts of its range.

    `prefix` counts the 10,000 numbers that begin alike, `block` a million; both share a slot with few others.
    """

    assessment: Assessment
    rules: FraudRules
    prefix: Conversion
    block: Conversion

    @property
    def verdict(self) -> Verdict:
        """What happens to such an order."""
        return self.rules.verdict(self.assessment)


class FraudGuard:
    """Decides about orders, and learns from those that were sent and verified. Holds no state itself."""

    #: Their orders are weighed by lists only.
    free_channels: ClassVar[Collection[Channel]] = FREE_CHANNELS

    def __init__(self, rules: FraudRules, keyring: Keyring) -> None:
        self.rules, self._keyring = rules, keyring

    def by_lists(self, phone: PhoneNumber) -> Decision | None:
        """Return the decision about a number that is listed, or None."""
        listed = self.rules.lists.assess(phone)
        return None if listed is None else Decision(listed, self.rules.verdict(listed))

    async def decide(
        self,
        phone: PhoneNumber,
        store: Store,
        now: datetime | None,
        *,
        networks: Sequence[str] = (),
        is_owners: bool = False,
        by_client: bool = False,
    ) -> Decision:
        """Return the decision about an order that costs money. Raises `StoreError`.

        `networks` are those of the client, none for another program, whose users share its server.
        `is_owners` is whether the phone belongs to the user already, or the device is trusted: its owner
        has verified it. `by_client` is whether a visitor triggered it rather than server code.

        The networks are counted before they are read: of simultaneous orders each sees the others. A
        refused order stays counted there, and nowhere else.
        """
        if (listed := self.by_lists(phone)) is not None:
            return listed
        if not self.rules.traffic or is_owners:
            return Decision(Assessment(), Verdict.PASSED)
        names = self._networks(networks)
        for name in names:
            await store.add_conversion(name, 1, 0, now)
        read = await self._read(phone, names, store, now)
        quotas, counted, points = await self._count(self._windows(phone, read), store, now, read.points)
        weight = 1.0 if by_client else traffic.WEIGHT_OF_SERVER_CODE
        assessment = assessment_of(points, weight=weight)
        # Only what would pass uses up what passes anyway.
        scarce = self._scarce(phone, names, read)
        if assessment.score < self.rules.refuse_from and scarce:
            more, found, points = await self._count(scarce, store, now, points)
            quotas, counted = [*quotas, *more], Counted([*counted.windows, *found.windows])
            assessment = assessment_of(points, weight=weight)
        decision = Decision(assessment, self.rules.verdict(assessment), quotas, counted)
        if decision.is_refused:
            await self.take_back(decision, store, now)
            return replace(decision, quotas=(), counted=None)
        return decision

    async def take_back(self, decision: Decision, store: Store, now: datetime | None) -> None:
        """Take an order that was not sent out of the windows in which it was counted. Raises `StoreError`."""
        if decision.counted is not None and decision.quotas:
            await store.uncount(decision.quotas, decision.counted.windows, now)

    async def explain(self, phone: PhoneNumber, store: Store, now: datetime | None) -> FraudExplanation:
        """Return how a visitor's order from a network of which nothing is known is weighed, and what is counted.

        Counts nothing. Raises `StoreError`.
        """
        read = await self._read(phone, [], store, now)
        if (listed := self.rules.lists.assess(phone)) is not None or not self.rules.traffic:
            return FraudExplanation(listed or Assessment(), self.rules, read.prefix, read.block)
        windows = {**self._windows(phone, read), **self._scarce(phone, [], read)}
        points = read.points
        for quota, (signal, most) in windows.items():
            if isinstance(await store.count([replace(quota, gate=True)], now), Denied):
                points = _with_points(points, signal, most)
        assessment = assessment_of(points)
        return FraudExplanation(assessment, self.rules, read.prefix, read.block)

    async def sent(self, record: Verification, channel: Channel, store: Store, now: datetime | None) -> None:
        """Count an order that a provider accepted, or may have accepted, for the range of the phone."""
        if channel not in FREE_CHANNELS and record.request.budget != Budget.TEST_NUMBER:
            await self._add(self._ranges(record.phone), store, now, sent=1)

    async def verified(self, record: Verification, networks: Sequence[str], store: Store, now: datetime | None) -> None:
        """Count a verification for the range of the phone, and for the networks of the client that answered."""
        if record.has_code and record.request.budget != Budget.TEST_NUMBER:
            await self._add([*self._ranges(record.phone), *self._networks(networks)], store, now, verified=1)

    async def _add(
        self, names: Sequence[str], store: Store, now: datetime | None, *, sent: int = 0, verified: int = 0
    ) -> None:
        if not self.rules.traffic:
            return
        # The message is sent, or the phone verified: a store that fails now must not undo that.
        try:
            for name in names:
                await store.add_conversion(name, sent, verified, now)
        except StoreError as error:
            log.warning("the store could not count an order for the fraud guard: %s", error)

    async def _read(self, phone: PhoneNumber, networks: Sequence[str], store: Store, now: datetime | None) -> _Read:
        prefix, block, *earlier = await store.conversions([*self._ranges(phone), *networks], now)
        sizes = [1, *[traffic.SIZE_OF_NETWORK_AROUND] * len(earlier)]
        # Without the order itself.
        own = [
            replace(counts, sent=(counts.sent - 1) / size, verified=counts.verified / size)
            for counts, size in zip(earlier, sizes, strict=False)
        ]
        return _Read(prefix, block, own)

    async def _count(
        self,
        windows: Mapping[Quota, tuple[Signal, int]],
        store: Store,
        now: datetime | None,
        points: Mapping[Signal, int],
    ) -> tuple[Sequence[Quota], Counted, Mapping[Signal, int]]:
        """Count the order in the windows with room. Return these, their ends, and `points` with those of the others."""
        quotas = list(windows)
        counted = await store.count(quotas, now)
        if not isinstance(counted, Denied):
            return quotas, counted, points
        kept: list[Quota] = []
        ends: list[datetime] = []
        for quota in quotas:
            counted = await store.count([quota], now)
            if isinstance(counted, Denied):
                points = _with_points(points, *windows[quota])
            else:
                kept.append(quota)
                ends += counted.windows
        return kept, Counted(ends), points

    def _windows(self, phone: PhoneNumber, read: _Read) -> Mapping[Quota, tuple[Signal, int]]:
        e164, explained = phone.e164, int(max(read.prefix.verified, 0.0)) // 2
        hundred = Quota(self._slot("fraud_100", e164[:-2]), traffic.HUNDRED_LIMIT + explained)
        thousand = Quota(self._slot("fraud_1000", e164[:-3]), traffic.THOUSAND_LIMIT + explained)
        speed = Quota(self._slot("fraud_speed", e164[:-6]), traffic.speed_limit(read.block))
        return {
            hundred: (Signal.NEIGHBOURS, traffic.HUNDRED_POINTS),
            thousand: (Signal.NEIGHBOURS, traffic.THOUSAND_POINTS),
            speed: (Signal.SPEED, traffic.SPEED_POINTS),
        }

    def _scarce(self, phone: PhoneNumber, networks: Sequence[str], read: _Read) -> Mapping[Quota, tuple[Signal, int]]:
        """Return the windows of what passes although range or network are suspected."""
        found: dict[Quota, tuple[Signal, int]] = {}
        if read.is_attacked and not read.is_known:
            shared = self._slot("fraud_allowance", phone.e164[:-7])
            found[Quota(shared, traffic.allowance(read.block))] = Signal.ALLOWANCE, traffic.ALLOWANCE_POINTS
        for name, counts in zip(networks, read.networks, strict=True):
            if traffic.is_closed(counts):
                quota = Quota(f"{name}:closed", 1, window=traffic.CLOSED_WINDOW)
                found[quota] = Signal.NETWORK, traffic.CLOSED_POINTS
        return found

    def _ranges(self, phone: PhoneNumber) -> Sequence[str]:
        return self._slot("fraud_prefix", phone.e164[:-4]), self._slot("fraud_block", phone.e164[:-6])

    def _networks(self, networks: Sequence[str]) -> Sequence[str]:
        return [self._slot("fraud_network", network, NETWORK_SLOTS) for network in networks]

    def _slot(self, kind: str, value: str, slots: int = SLOTS) -> str:
        return f"{kind}:{self._keyring.slot(kind, value, slots)}"


@dataclass(frozen=True, slots=True)
class _Read:
    """What is counted for the prefix of 10,000 numbers, for the block of a million, and for each network."""

    prefix: Conversion
    block: Conversion
    networks: Sequence[Conversion]

    @property
    def points(self) -> Mapping[Signal, int]:
        """The points of the range and of the networks."""
        return {
            Signal.CONVERSION: self._of_range,
            Signal.NETWORK: max(map(traffic.network_points, self.networks), default=0),
        }

    @property
    def is_attacked(self) -> bool:
        """Whether so few orders to the range are verified that unknown networks share an allowance."""
        return self._of_range >= traffic.ATTACKED

    @property
    def is_known(self) -> bool:
        """Whether users of the client's network were verified."""
        return bool(self.networks) and traffic.is_known(self.networks[0])

    @property
    def _of_range(self) -> int:
        return max(traffic.conversion_points(self.prefix), traffic.conversion_points(self.block))


def _with_points(points: Mapping[Signal, int], signal: Signal, most: int) -> Mapping[Signal, int]:
    """Return the points with `most` for this rule, unless it has more."""
    return {**points, signal: max(points.get(signal, 0), most)}
