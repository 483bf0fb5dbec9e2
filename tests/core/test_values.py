"""The classes of values: what those that every operation makes have in common, and that they are quick to make."""

from __future__ import annotations

import sys
from dataclasses import field
from types import FrameType

import pytest

from phone_verify.before_send import ClientFacts, Refusal, SendOrder
from phone_verify.model import value_class

from .harness import Harness, sms


@value_class
class Point:
    x: int
    y: int = 0
    secret: str = field(default="", repr=False)


def is_frozen(made: type) -> bool:
    """Return whether a class is a dataclass that refuses changes at run time."""
    return bool(getattr(made, "__dataclass_params__", None) and vars(made)["__dataclass_params__"].frozen)


def test_value_class_compares_and_hashes_by_its_fields() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert len({Point(1), Point(1, 0), Point(2)}) == 2
    assert repr(Point(1, secret="abc")) == "Point(x=1, y=0)"


def test_value_class_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        setattr(Point(1), "z", 3)  # noqa: B010 - type checkers refuse the assignment


def test_start_and_check_make_no_values_that_are_slow_to_make() -> None:
    driver = sms()
    harness, frozen = Harness(driver), set[str]()
    harness.begun()  # plans the codes, which is done once

    def note(frame: FrameType, event: str, arg: object) -> None:
        made = type(frame.f_locals.get("self"))
        if event == "call" and frame.f_code.co_name == "__init__" and is_frozen(made):
            frozen.add(made.__name__)

    sys.setprofile(note)
    try:
        id, secret = harness.begun()
        outcome = harness.verifier.check(id, secret, driver.codes[-1])
    finally:
        sys.setprofile(None)
    assert outcome.proof
    assert frozen <= {"ClientFacts"}


@pytest.mark.parametrize("made", [ClientFacts, Refusal, SendOrder])
def test_values_of_a_hook_refuse_changes(made: type) -> None:
    """A hook that tried to change an order would otherwise believe that it had."""
    assert is_frozen(made)
