"""`phone-verify fraud`."""

from __future__ import annotations

import click

from ...fraud.guard import FraudExplanation
from ...phone import PhoneNumber
from ..fraud_list import FRAUD, lines
from ..output import examples, say


@click.group(
    short_help="Explain how the fraud guard weighs orders to a number.",
    epilog=examples("phone-verify fraud explain +989120000000"),
)
def fraud() -> None:
    """Explain how the fraud guard weighs orders."""


@fraud.command(
    short_help="Explain the score of a number.",
    epilog=examples(
        "phone-verify fraud explain +989120000000",
        "phone-verify fraud explain 09120000000 --region IR --flask app:create_app --json",
    ),
)
@FRAUD.command
def explain(phone: PhoneNumber, found: FraudExplanation) -> None:
    """Explain the score of a visitor's order to NUMBER from a network of which nothing is known.

    Nothing is sent, and nothing counted. Reads the store.
    """
    for line in lines(phone, found):
        say(line)
