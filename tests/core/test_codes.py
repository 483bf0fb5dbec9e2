"""Codes, digests, tags and secrets."""

from __future__ import annotations

import os
from collections import Counter
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.codes import TAG_LENGTH, Keyring, binding_digest, new_id, new_secret, normalise
from phone_verify.errors import ConfigurationError
from phone_verify.model import is_id
from phone_verify.phone import PhoneNumber
from tests.cases import in_one_test

OLD, NEW, TAG = (
    "o-key-for-tests-0123456789abcdef",
    "n-key-for-tests-0123456789abcdef",
    "t-key-for-tests-0123456789abcdef",
)
PHONE = PhoneNumber("+989120000000")


class Purpose(str, Enum):  # noqa: UP042 - its members are formatted as `Purpose.LOGIN`
    LOGIN = "login"


@pytest.fixture
def ring() -> Keyring:
    return Keyring([NEW, OLD], TAG)


def test_code_depends_on_everything_it_is_bound_to(ring: Keyring) -> None:
    base = (ring.key_id, "id", PHONE, "login", 1, 8)
    other_phone, old_key = PhoneNumber("+989120000001"), Keyring([OLD]).key_id
    others = [
        (old_key, *base[1:]), (base[0], "di", *base[2:]), (*base[:2], other_phone, *base[3:]),
        (*base[:3], "signup", *base[4:]), (*base[:4], 2, 8),
    ]  # fmt: skip
    code = ring.derive(*base)
    assert ring.derive(*base) == code
    assert code not in {ring.derive(*other) for other in others}
    assert ring.derive(*base[:3], Purpose.LOGIN, *base[4:]) == code


@pytest.mark.parametrize("length", [4, 5, 6, 7, 8])
def test_codes_keep_leading_zeros(ring: Keyring, length: int) -> None:
    codes = [ring.derive(ring.key_id, f"id{n}", PHONE, "login", 1, length) for n in range(300)]
    assert {len(code) for code in codes} == {length}
    assert any(code.startswith("0") for code in codes)
    assert all(code.isascii() and code.isdigit() for code in codes)


def test_all_digits_are_equally_likely(ring: Keyring) -> None:
    counts = Counter("".join(ring.derive(ring.key_id, f"id{n}", PHONE, "login", 1, 8) for n in range(4000)))
    # 32,000 digits: the standard deviation of each count is 54; five of them are 1 in a million.
    assert all(abs(count - 3200) < 270 for count in counts.values())


def test_digests_of_every_listed_key_are_compared(ring: Keyring) -> None:
    old = Keyring([OLD], TAG)
    assert old.digest("id", "123456") in ring.digests("id", "123456")
    assert ring.digest("id", "123456") == ring.digests("id", "123456")[0]
    assert old.digest("id", "123456") not in Keyring([NEW], TAG).digests("id", "123456")
    assert ring.digest("id", "123456") not in ring.digests("id2", "123456")


def test_codes_of_a_listed_key_can_be_repeated(ring: Keyring) -> None:
    old = Keyring([OLD], TAG)
    assert ring.has_key(old.key_id)
    assert ring.derive(old.key_id, "id", PHONE, "login", 1, 6) == old.derive(old.key_id, "id", PHONE, "login", 1, 6)
    assert not Keyring([NEW], TAG).has_key(old.key_id)


def test_tags_survive_key_rotation(ring: Keyring) -> None:
    assert ring.tag(PHONE) == Keyring(["x-key-for-tests-0123456789abcdef"], TAG).tag(PHONE)
    assert Keyring([NEW, OLD]).tag(PHONE) == Keyring([OLD]).tag(PHONE)  # the last key, if none is set
    assert ring.tag(PHONE) != Keyring([NEW, OLD], "T-key-for-tests-0123456789abcdef").tag(PHONE)
    assert ring.bucket("address", "192.0.2.1") != ring.bucket("prefix", "192.0.2.1")
    assert "192" not in ring.bucket("address", "192.0.2.1")


def test_key_never_appears_in_text(ring: Keyring) -> None:
    shown = repr(ring) + ring.key_id
    assert NEW[:8] not in shown
    assert OLD[:8] not in shown


@pytest.mark.parametrize(("keys", "tag"), [([], None), (["short"], None), ([NEW, "short"], None), ([NEW], "short")])
def test_weak_keys_are_refused_without_being_shown(keys: list[str], tag: str | None) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_") as refused:
        Keyring(keys, tag)
    assert "'short'" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "a" * 32,
        "password" * 8,
        "write 32 characters or more of your own here",
        "any-50-characters-or-more-that-nobody-else-knows-and-stay-the-same",
    ],
)
@pytest.mark.parametrize("production", [True, False])
def test_worthless_and_published_keys_are_refused(key: str, production: bool) -> None:
    for keys, tag in (([key], None), ([NEW, key], None), ([NEW], key)):
        with pytest.raises(ConfigurationError, match=r"secrets\.token_urlsafe\(48\)") as refused:
            Keyring(keys, tag, production=production)
        assert key not in str(refused.value)


@pytest.mark.parametrize("key", ["django-insecure-" + NEW, "a-key-for-tests-only-0123456789abcdef"])
def test_development_keys_are_refused_in_production(key: str) -> None:
    assert Keyring([key], production=False).key_id
    with pytest.raises(ConfigurationError, match="development only"):
        Keyring([key])


def test_ids_hold_the_tag_and_128_bits(ring: Keyring) -> None:
    tag = ring.tag(PHONE)
    ids = {new_id(tag, os.urandom) for _ in range(100)}
    assert len(ids) == 100
    assert all(is_id(id) and id.startswith(tag) for id in ids)
    assert len(new_secret(os.urandom)) == 22
    assert binding_digest("a") != binding_digest("b")
    assert binding_digest("\ud800") == binding_digest("\ud800")


@in_one_test
@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("012345", "012345"), ("۰۱۲۳۴۵", "012345"), ("٠١٢٣٤٥", "012345"), ("०१२३४५", "012345"), ("০১২৩৪৫", "012345"),
        ("０１２３４５", "012345"), (" 012-345\u200f", "012345"), ("012\u00a0345", "012345"), ("12", "12"),
        ("", None), (" ", None), ("12345a", None), ("²³", None), ("①②", None), ("𝟏𝟐", None), ("+1", None),
        ("1_2", None),
        ("1.5", None), ("1" * 33, None), ("Ⅻ", None), ("\ud800", None), ("1\x00", None),
    ],
    ids=ascii,
)  # fmt: skip
def test_typed_codes_are_normalised(typed: str, code: str | None) -> None:
    assert normalise(typed) == code


@given(st.text(max_size=40))
def test_normalised_code_is_ascii_digits_and_stays_itself(typed: str) -> None:
    code = normalise(typed)
    if code is not None:
        assert code
        assert set(code) <= set("0123456789")
        assert normalise(code) == code


def test_tag_key_id_names_the_key_that_makes_tags() -> None:
    for ring in (Keyring([NEW, OLD]), Keyring([OLD]), Keyring([NEW], OLD)):
        assert (ring.tag_key_id, ring.tag(PHONE)) == (Keyring([OLD]).tag_key_id, Keyring([OLD]).tag(PHONE))
    assert len({Keyring([NEW], key).tag_key_id for key in (None, OLD, TAG)}) == 3


def test_places_of_one_key_begin_alike_and_reveal_no_client() -> None:
    keyring = Keyring(["k-key-for-tests-0123456789abcdef"])
    first, second, other = keyring.place("a", "client"), keyring.place("a", "another"), keyring.place("b", "client")
    assert len(first) == 2 * TAG_LENGTH
    assert first[:TAG_LENGTH] == second[:TAG_LENGTH] != other[:TAG_LENGTH], "one server of a Cluster has both"
    assert len({name[TAG_LENGTH:] for name in (first, second, other)}) == 3, "one client's requests are not linked"
    later = Keyring(["n-key-for-tests-0123456789abcdef", "k-key-for-tests-0123456789abcdef"])
    assert later.place("a", "client") == first, "a rotation of the keys forgets none"
    assert later.sealing_key("a") == keyring.sealing_key("a") != keyring.sealing_key("b")
