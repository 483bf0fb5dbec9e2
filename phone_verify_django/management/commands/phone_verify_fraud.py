"""`manage.py phone_verify_fraud`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phone_verify import PhoneNumber
from phone_verify.cli import fraud_list

from ..explaining import ExplainCommand


class Command(ExplainCommand):
    """Explain how the fraud guard weighs orders to a number."""

    help = "Explain the score of a visitor's order to a number. Nothing is sent, and nothing counted."
    explanation = fraud_list.FRAUD

    def lines(self, phone: PhoneNumber, found: Any) -> Iterator[str]:
        """Return the score and its reasons."""
        return iter(fraud_list.lines(phone, found))
