"""The metadata of the number field: what it lists, and that any language's regular expressions can read it."""

from __future__ import annotations

import json
import re

import phonenumbers
import pytest

from phone_verify.drivers.base import Ability
from phone_verify.http.site import Site
from phone_verify.model import Channel, CodeSource
from phone_verify.phone import PhoneNumber
from phone_verify.phone.formats import calling_codes, calling_codes_of, formats_of, served_regions
from phone_verify.web.assets import REGIONS, site_asset

from .harness import Driver, Harness, flash

ALL = frozenset(calling_codes())


def test_every_region_is_listed_with_its_calling_code() -> None:
    regions = served_regions(None, ALL)
    assert set(regions) == set(phonenumbers.SUPPORTED_REGIONS)
    listed = calling_codes_of(regions)
    assert [row[0] for row in listed] == sorted(regions)
    for region, code, *_ in listed:
        assert code == str(phonenumbers.country_code_for_region(region))


def test_regions_of_one_calling_code_are_told_apart() -> None:
    listed = {row[0]: row[1:] for row in calling_codes_of(served_regions(None, ALL))}
    assert listed["US"] == ["1"]
    assert listed["RU"] == ["7"]
    assert listed["KZ"] == ["7", "7"]
    assert re.match(listed["CA"][1], "4165550123")
    assert not re.match(listed["CA"][1], "2015550123")
    assert listed["EH"] == ["212", ""]  # the plan does not tell them from Morocco's


@pytest.mark.parametrize(
    ("allowed", "reached", "regions"),
    [
        ({"IR", "RU"}, ALL, ("IR", "RU")),
        ({"IR", "RU"}, {"98"}, ("IR",)),
        (None, {"7"}, ("KZ", "RU")),
        ({"DE"}, {"98"}, ()),
        ({"ZZ", "IR"}, ALL, ("IR",)),
    ],
)
def test_only_allowed_regions_that_a_driver_reaches_are_served(
    allowed: set[str] | None, reached: set[str], regions: tuple[str, ...]
) -> None:
    assert served_regions(frozenset(allowed) if allowed else None, frozenset(reached)) == regions


class IranianDriver(Driver):
    """A driver of one country."""

    def reaches(self, phone: PhoneNumber) -> bool:
        return phone.calling_code == "98"


def test_metadata_follows_the_drivers_and_the_settings() -> None:
    iran, world = IranianDriver("iran", Channel.SMS, Ability(CodeSource.LOCAL)), flash("1234")
    assert listed(iran) == ["IR"]
    assert "DE" in listed(iran, world)
    assert listed(iran, world, allowed_regions=frozenset({"IR", "DE"})) == ["DE", "IR"]
    site = Site(Harness(iran).verifier)
    assert site.regions == ("IR",)
    assert site_asset("regions/IR.json", site) is not None
    assert site_asset("regions/DE.json", site) is None


def listed(*drivers: Driver, **policy: object) -> list[str]:
    found = site_asset(REGIONS, Site(Harness(*drivers, **policy).verifier))
    assert found is not None
    return [row[0] for row in json.loads(found[0])]


def test_formats_are_small_and_common_regular_expressions() -> None:
    for region in served_regions(None, ALL):
        formats = formats_of(region, (None, None))
        assert len(json.dumps(formats)) < 6_000
        for leading, pattern, *forms in [*formats["national"], *formats.get("international", [])]:
            # Groups, classes, alternatives and counts mean the same in Python and in JavaScript.
            assert re.fullmatch(r"[\\d\[\]()?:|,{}0-9-]*", leading + pattern)
            # The form without a prefix only groups: a browser would write other digits into the field.
            groups = re.findall(r"\$\d", forms[0])
            assert groups == sorted(groups)
            assert not re.search(r"\d", re.sub(r"\$\d", "", forms[0]))
            for form in forms:
                assert re.findall(r"\$\d", form) == groups


@pytest.mark.parametrize(
    ("region", "trunk", "length", "bare", "whole"),
    [
        ("IR", "0", 10, "$1 $2 $3", "0$1 $2 $3"),
        ("RU", "8", 10, "$1 $2-$3-$4", "8 ($1) $2-$3-$4"),
        ("US", "1", 10, "($1) $2-$3", "1 ($1) $2-$3"),
        ("BY", "80", 9, "$1 $2-$3-$4", "8 0$1 $2-$3-$4"),
        ("IT", "", 12, "$1 $2 $3", "$1 $2 $3"),
    ],
)
def test_trunk_prefix_is_part_of_the_national_form(region: str, trunk: str, length: int, bare: str, whole: str) -> None:
    formats = formats_of(region, (None, None))
    assert (formats["trunk"], formats["length"]) == (trunk, length)
    assert [bare, whole] in [row[2:] for row in formats["national"]]
