"""The chaos switch alone."""

import pytest

from phone_verify.sandbox.faults import (
    MAX_FAULTS,
    NO_FAULT,
    WAYS_TO_SPOIL,
    Fault,
    FaultError,
    Faults,
    read_fault,
    spoilt,
)
from phone_verify.sandbox.protocols import PROVIDERS
from tests.cases import in_one_test

AMOOT = PROVIDERS["amoot"]
PHONE = "+989120000000"


def test_fault_is_read_from_json() -> None:
    fault = read_fault(
        {
            "refuse": "Token_Invalid",
            "delay": 2,
            "hang": True,
            "double": True,
            "webhook_first": True,
            "foreign_caller": "89000000013",
            "times": 3,
            "variants": {"status": "number"},
        },
        AMOOT,
    )
    assert (fault.refuse, fault.delay, fault.hang, fault.copies) == ("Token_Invalid", 2.0, True, 2)
    assert fault.webhook_first
    assert (fault.foreign_caller, fault.times, dict(fault.variants)) == ("+79000000013", 3, {"status": "number"})


@in_one_test
@pytest.mark.parametrize(
    "wish",
    [
        {"refuse": "Success"},
        {"refuse": 7},
        {"refuse": ["Failed"]},
        {"delay": -1},
        {"delay": 61},
        {"delay": "2"},
        {"delay": True},
        {"delay": float("nan")},
        {"delay": 10**400},
        {"hang": 1},
        {"lose": "yes"},
        {"malformed": "torn"},
        {"malformed": ["cut"]},
        {"malformed": 1},
        {"malformed": None},
        {"times": 0},
        {"times": 1.5},
        {"times": True},
        {"foreign_caller": "nobody"},
        {"foreign_caller": True},
        {"variants": []},
        {"variants": {"status": "roman"}},
        {"variants": {"status": ["name"]}},
        {"variants": {"color": "red"}},
        {"explode": True},
    ],
)
def test_invalid_fault_names_its_field(wish: dict[str, object]) -> None:
    with pytest.raises(FaultError) as caught:
        read_fault(wish, AMOOT)
    assert list(caught.value.fields) == list(wish)


def test_phone_fault_precedes_the_provider_fault() -> None:
    faults = Faults()
    faults.put("amoot", None, Fault(lose=True))
    faults.put("amoot", PHONE, Fault(double=True))
    assert faults.find("amoot", PHONE).copies == 2
    assert faults.find("amoot", "+989350000000").copies == 0
    assert faults.find("ferzz", PHONE) is NO_FAULT
    faults.remove("amoot", PHONE)
    assert faults.find("amoot", PHONE).copies == 0


def test_fault_with_times_expires() -> None:
    faults = Faults()
    faults.put("amoot", None, Fault(refuse="Failed", times=2))
    assert [faults.take("amoot", PHONE).refuse for _ in range(3)] == ["Failed", "Failed", None]
    assert faults.all() == ()


def test_reading_faults_uses_none_up() -> None:
    faults = Faults()
    faults.put("amoot", None, Fault(refuse="Failed", times=1))
    faults.find("amoot", PHONE)
    assert faults.take("amoot", PHONE).refuse == "Failed"


def test_faults_are_bounded() -> None:
    faults = Faults()
    for number in range(MAX_FAULTS + 5):
        faults.put("amoot", f"+98912{number:07}", Fault(lose=True))
    assert len(faults.all()) == MAX_FAULTS


@in_one_test
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
def test_every_refusal_and_dialect_can_be_enabled(provider: object) -> None:
    known = PROVIDERS[provider.name]  # type: ignore[attr-defined]
    for name in known.refusals:
        assert read_fault({"refuse": name}, known).refuse == name
    for variant, choices in known.variants.items():
        for choice in choices:
            assert read_fault({"variants": {variant: choice}}, known).variants[variant] == choice


def test_choice_that_is_a_number_needs_no_quotes() -> None:
    assert read_fault({"variants": {"length": 6}}, PROVIDERS["ferzz"]).variants == {"length": "6"}
    with pytest.raises(FaultError):
        read_fault({"variants": {"length": True}}, PROVIDERS["ferzz"])


def test_fault_round_trips_through_json() -> None:
    for way in (True, False, *WAYS_TO_SPOIL):
        fault = Fault(refuse="Failed", delay=1.5, foreign_caller=PHONE, malformed=way, variants={"status": "number"})
        assert read_fault(fault.as_json(), AMOOT) == fault


@pytest.mark.parametrize(
    ("how", "text", "spoiled"),
    [
        (False, '{"a": 1}', '{"a": 1}'),
        (True, '{"a": 1}', '{"a"'),
        ("cut", '{"a": 1}', '{"a"'),
        ("empty", '{"a": 1}', ""),
        ("types", '{"a": [1, "b", null, true]}', '{"a": ["1", ["b"], {}, "True"]}'),
        ("types", "<xml/>", "<xm"),
    ],
)
def test_response_can_be_malformed_in_each_mode(how: bool | str, text: str, spoiled: str) -> None:
    assert spoilt(text, how) == spoiled
