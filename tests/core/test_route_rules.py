"""The rules of routing: how they are read, which of them applies, and which drivers it uses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify import ConfigurationError, Settings, build_site
from phone_verify.config.routes import read_routes
from phone_verify.model import Channel
from phone_verify.phone import PhoneNumber
from phone_verify.routing import Router
from phone_verify.routing.rules import Rule, matching
from tests.cases import in_one_test

from .harness import FLASH, PHONE, SMS, Driver, flash, sms

KEY = "q7YwZr1mT0bXkE4sVnHc9uLpAiGdJ2oF"
RUSSIAN = PhoneNumber("+79160000002")


def router(*drivers: Driver, rules: list[dict[str, Any]]) -> Router:
    by_channel: dict[Channel, list[Driver]] = {}
    for driver in drivers:
        by_channel.setdefault(driver.channel, []).append(driver)
    return Router(by_channel, ticks=lambda: 0.0, rules=read_routes(rules))


def names(made: Router, phone: PhoneNumber = PHONE, channel: Channel = SMS) -> list[str]:
    return [driver.name for driver in made.route(channel, phone)]


def three() -> list[Driver]:
    return [sms(name="a"), sms(name="b"), sms(name="c")]


def test_without_rules_the_configured_order_applies() -> None:
    made = router(*three(), rules=[])
    assert names(made) == ["a", "b", "c"]
    assert made.rule(SMS, PHONE) is None


def test_rule_names_the_drivers_in_order() -> None:
    made = router(*three(), rules=[{"regions": "IR", "drivers": ["c", "a"]}])
    assert names(made) == ["c", "a"]
    assert names(made, RUSSIAN) == ["a", "b", "c"], "no rule is for this region"
    assert made.left_out(SMS, PHONE) == {"b": "not named in the rule"}


def test_longest_prefix_wins_then_the_region_then_the_rest() -> None:
    rules = read_routes(
        [
            {},
            {"regions": ["IR", "RU"]},
            {"prefixes": ["+98"]},
            {"prefixes": ["+98912", "+7"]},
            {"prefixes": "+9891"},
            {"prefixes": "+98912", "regions": "IR"},
        ]
    )

    def number(phone: str, some: Any = rules) -> int:
        found = matching(some, SMS, PhoneNumber(phone), ["a"])
        assert found is not None
        return found.number

    assert number("+989120000000") == 6
    assert number("+989120000000", rules[:5]) == 4
    assert number("+989130000000") == 5
    assert number("+989350000000") == 3
    assert number("+989350000000", rules[:2]) == 2
    assert number("+12025550123") == 1


def test_first_of_equal_rules_wins() -> None:
    rules = [Rule(1, regions=("RU",)), Rule(2, regions=("IR", "RU")), Rule(3, regions=("IR",))]
    assert matching(rules, SMS, PHONE, ["a"]) is rules[1]


def test_rule_applies_to_its_channels_only() -> None:
    rules: list[dict[str, Any]] = [{"channels": "flash_call", "drivers": ["f2", "f1"]}, {"drivers": ["b", "a"]}]
    made = router(*three(), flash(name="f1"), flash(name="f2"), rules=rules)
    assert names(made) == ["b", "a"]
    assert names(made, channel=FLASH) == ["f2", "f1"]


def test_rule_leaves_channels_without_its_drivers_as_configured() -> None:
    made = router(*three(), flash(name="f1"), rules=[{"regions": "IR", "drivers": ["b"]}])
    assert names(made, channel=FLASH) == ["f1"]


def test_ceiling_leaves_out_higher_and_unknown_prices() -> None:
    prices = {"a": "0.050", "b": "0.0501"}
    made = router(*three(), rules=[{"prices": prices, "currency": "EUR", "ceiling": "0.05"}])
    assert names(made) == ["a"]
    left_out = made.left_out(SMS, PHONE)
    assert left_out["b"] == "its price 0.0501 is above the ceiling 0.05"
    assert left_out["c"] == "no price, but the rule has a ceiling"


@given(st.lists(st.decimals("0", "1", places=3), min_size=3, max_size=3), st.decimals("0", "1", places=3))
def test_no_order_costs_more_than_the_ceiling(prices: list[Decimal], ceiling: Decimal) -> None:
    each = dict(zip("abc", prices, strict=True))
    made = Router({SMS: three()}, ticks=lambda: 0.0, rules=[Rule(1, prices=each, ceiling=ceiling, by_outcome=True)])
    assert names(made) == [name for name, price in each.items() if price <= ceiling]


def test_driver_on_trial_is_last_in_failover() -> None:
    assert names(router(*three(), rules=[{"trial": {"a": 5}}])) == ["b", "c", "a"]
    assert names(router(*three(), rules=[{"drivers": ["b"], "trial": {"a": 5}}])) == ["b", "a"]


def test_driver_that_does_not_reach_the_phone_is_named() -> None:
    made = router(sms(name="a", reachable=False), sms(name="b"), rules=[{"drivers": ["a", "b"]}])
    assert names(made) == ["b"]
    assert made.left_out(SMS, PHONE) == {"a": "does not reach the number"}


def test_every_field_is_read() -> None:
    (rule,) = read_routes(
        [
            {
                "prefixes": ["+98912"],
                "regions": ["IR"],
                "channels": ["sms"],
                "drivers": ["a", "b"],
                "trial": {"c": 2.5},
                "prices": {"a": "0.012", "b": "0.02"},
                "currency": "EUR",
                "ceiling": "0.05",
                "by_outcome": True,
            }
        ]
    )
    assert rule == Rule(
        number=1,
        prefixes=("+98912",),
        regions=("IR",),
        channels=(SMS,),
        drivers=("a", "b"),
        trial={"c": 2.5},
        prices={"a": Decimal("0.012"), "b": Decimal("0.02")},
        currency="EUR",
        ceiling=Decimal("0.05"),
        by_outcome=True,
    )


@in_one_test
@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"regions": ["IR"]}, "must be a list of rules"),
        (["IR"], "rule 1: must map fields to values"),
        ([{}, {"region": "IR"}], "rule 2: unknown field 'region'; did you mean regions?"),
        ([{"price": {"a": "1"}}], "unknown field 'price'; did you mean prices?"),
        ([{"colour": 1}], "unknown field 'colour'; use prefixes, regions"),
        ([{"prefixes": ["98912"]}], "prefixes: entry 1: write each as the beginning of a number, like '.98912'"),
        ([{"prefixes": [98912]}], "prefixes: entry 1: write each"),
        ([{"prefixes": ["+989120000000"]}], r"prefixes: entry 1: write each"),
        ([{"prefixes": 98912}], "prefixes: must be a list"),
        ([{"regions": ["ir"]}], "regions: entry 1: write each as two quoted capitals, like 'IR'"),
        ([{"regions": [False]}], "regions: entry 1: write each as two quoted capitals"),
        ([{"regions": []}], "regions: is empty; leave it out"),
        ([{"regions": ["IR", "IR"]}], "regions: names one of them twice"),
        ([{"channels": ["pigeon"]}], "channels: entry 1: use sms, flash_call"),
        ([{"drivers": [1]}], "drivers: entry 1: write names of drivers"),
        ([{"weights": ["a"]}], "weights: must map drivers to values; write a number above 0"),
        ([{"weights": {"a": 0}}], "weights: 'a': write a number above 0, up to 1000000, for each driver"),
        ([{"weights": {"a": 10**400}}], "weights: 'a': write a number"),
        ([{"weights": {"a": 1e308, "b": 1e308}}], "weights: 'a': write a number"),
        ([{"trial": {"a": 10**400}}], "trial: 'a': write a percentage"),
        ([{"prefixes": None}], "prefixes: is empty; leave it out"),
        ([{"ceiling": None}], "ceiling: is empty; leave it out"),
        ([{"weights": {}}], "weights: is empty; leave it out"),
        ([{"weights": {"a": True}}], "weights: 'a': write a number"),
        ([{"weights": {"a": float("nan")}}], "weights: 'a': write a number"),
        ([{"trial": {"a": 100}}], "trial: 'a': write a percentage above 0 and below 100"),
        ([{"trial": {"a": 60, "b": 40}}], "trial: the percentages must be below 100 together"),
        ([{"trial": {"a": 5}, "weights": {"a": 1, "b": 1}}], "trial: 'a' has a weight too; remove one of them"),
        ([{"prices": {"a": 0.012}, "currency": "EUR"}], "prices: 'a': write the price of one order as a quoted"),
        ([{"prices": {"a": "1e3"}, "currency": "EUR"}], "prices: 'a': write the price"),
        ([{"prices": {"a": "-1"}, "currency": "EUR"}], "prices: 'a': write the price"),
        ([{"prices": {"a": "1"}}], "currency: is missing; all prices of a rule are in one, like EUR"),
        ([{"prices": {"a": "1"}, "currency": "euro"}], "currency: write its three capitals, like EUR"),
        ([{"ceiling": "1"}], "ceiling: needs prices"),
        ([{"ceiling": 1}], "ceiling: write it as a quoted decimal"),
        ([{"by_outcome": "yes"}], "by_outcome: write true or false"),
        ([{"by_outcome": True, "weights": {"a": 1}}], "by_outcome: divides the orders by itself; remove weights"),
        ([{"drivers": ["a"], "weights": {"b": 1}}], "weights: 'b' is not among the drivers of the rule"),
        ([{"regions": "IR"}, {"regions": ["IR"]}], "rule 2: has the same prefixes, regions and channels as rule 1"),
    ],
)
def test_invalid_rule_says_what_to_write(rules: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_ROUTES.*{says}"):
        Settings.from_mapping({"routes": rules})


SITE = {
    "secret_keys": [KEY],
    "store": "memory:",
    "sms": ["console://?name=first", "console://?name=second"],
    "flash_call": "sandbox://127.0.0.1:8025?name=ring",
}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([{"drivers": ["frist"]}], "no driver is named 'frist'; the site has: first, ring-ferzz, second"),
        ([{"channels": ["flash_call"], "drivers": ["first"]}], "channels: none of its drivers carries flash_call"),
        ([{"channels": ["telegram"]}], "channels: none of its drivers carries telegram; leave telegram out"),
        (
            [{"channels": "sms", "prices": {"first": "2", "second": "3"}, "currency": "EUR", "ceiling": "1"}],
            "ceiling: no driver of sms has a price up to 1; raise it",
        ),
        (
            [{"channels": "sms", "prices": {"first": "2"}, "currency": "EUR", "by_outcome": True}],
            "prices: by_outcome compares prices; add that of second, or remove all",
        ),
    ],
)
def test_rule_that_does_not_fit_the_drivers_is_refused(rules: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_ROUTES: rule 1: {says}"):
        build_site(Settings.from_mapping({**SITE, "routes": rules}), production=False)


YAML = """
- regions: [IR]
  drivers: [second, first]
  trial: {ring-ferzz: 5}
- channels: [flash_call]
"""


def test_rules_are_read_from_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(YAML)
    settings = Settings.from_mapping(SITE, {"PHONE_VERIFY_ROUTES": str(file)})
    assert [rule.drivers for rule in settings.routes] == [("second", "first"), ()]
    site = build_site(settings, production=False)
    assert [driver.name for driver in site.verifier.flows.router.route(SMS, PHONE)] == ["second", "first"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"the file cannot be read \(No such file"),
        (b"- regions: [IR", "line 1: this is not YAML"),
        (b"\xff\xfe\xfa", "the file is not UTF-8"),
        (b"- !!python/object:os.system {}", "line 1: write the value in quotes, without a tag"),
        (b'- weights: {first: !!int ""}', "line 1: write the value in quotes, without a tag"),
        (b"- by_outcome: !!bool x", "line 1: write the value in quotes, without a tag"),
        (b"- drivers: [first]\n  drivers: [second]", "line 2: duplicate name"),
        (b"drivers: [first]", "must be a list of rules"),
        (b"- regions: [NO]", "regions: entry 1: write each as two quoted capitals"),
        (b"- prefixes: [+98912]", "prefixes: entry 1: write each"),
    ],
)
def test_unreadable_file_says_why(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "routes.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_ROUTES.*{says}"):
        Settings.from_mapping({"routes": str(file)})


def test_path_that_cannot_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_ROUTES: the path contains a null character"):
        Settings.from_mapping({"routes": "routes\0.yaml"})
