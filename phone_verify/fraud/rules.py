"""The rules of a fraud guard, as a site or a service sets them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .assessment import Assessment, Verdict
from .lists import Lists


@dataclass(frozen=True, slots=True)
class FraudRules:
    """What the guard weighs, and what it does about it."""

    lists: Lists = field(default_factory=Lists)
    #: Whether traffic is weighed, besides the lists.
    traffic: bool = True
    #: Whether orders are only recorded, and none is refused.
    record_only: bool = True
    #: The score from which an order is refused.
    refuse_from: int = 60

    def verdict(self, assessment: Assessment) -> Verdict:
        """Return what happens to an order with this assessment."""
        return assessment.verdict(self.refuse_from, record_only=self.record_only)
