"""What a provider attests about the number that a call shows."""

from __future__ import annotations

from enum import StrEnum


class Attestation(StrEnum):
    """The STIR/SHAKEN attestation of a call: what the provider where it began signed about its caller."""

    A = "A"  #: it knows the customer, who may use this number
    B = "B"  #: it knows the customer, but not whether the number is theirs
    C = "C"  #: it only passed the call on

    def meets(self, least: Attestation) -> bool:
        """Return whether it is at least as strong as this one."""
        return self.value <= least.value
