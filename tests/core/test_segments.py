"""The number of segments of a text, against the limits of 3GPP TS 23.038 and 23.040."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.segments import Segments, segments
from tests.cases import in_one_test

#: 3GPP TS 23.038, 6.2.1, column by column as printed there, without the escape.
COLUMNS = (
    "@£$¥èéùìòÇ\nØø\rÅå", "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ", " !\"#¤%&'()*+,-./", "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO", "PQRSTUVWXYZÄÖÑÜ§", "¿abcdefghijklmno", "pqrstuvwxyzäöñüà",
)  # fmt: skip
DEFAULT = "".join(COLUMNS)
EXTENSION = "\f^{}\\[~]|€"


def test_gsm_alphabet_is_complete() -> None:
    assert [len(column) for column in COLUMNS] == [16, 15, *[16] * 6]
    for character in DEFAULT:
        assert segments(character) == Segments("gsm7", 1, 1)
    for character in EXTENSION:
        assert segments(character) == Segments("gsm7", 2, 1)


@in_one_test
@pytest.mark.parametrize("character", ["ç", "`", "\t", "\x1b", "\u00a0", "’", "…", "ы", "ک", "\u200f", "\u0660", "😀"])
def test_one_character_outside_makes_the_whole_text_ucs2(character: str) -> None:
    assert segments("a" * 60 + character).encoding == "ucs2"


@in_one_test
@pytest.mark.parametrize(
    ("text", "units", "count"),
    [
        ("", 0, 1),
        ("a" * 160, 160, 1),
        ("a" * 161, 161, 2),
        ("a" * 306, 306, 2),
        ("a" * 307, 307, 3),
        ("€" * 80, 160, 1),
        ("€" * 81, 162, 2),
        # An escape pair that would start at the last septet of a part starts the next part.
        ("€" * 76 * 2, 304, 2),
        ("€" * 76 * 2 + "aa", 306, 3),
        ("a" * 152 + "€" + "a" * 151, 305, 2),
        ("a" * 152 + "€" + "a" * 152, 306, 3),
        ("я" * 70, 70, 1),
        ("я" * 71, 71, 2),
        ("я" * 134, 134, 2),
        ("я" * 135, 135, 3),
        ("😀" * 35, 70, 1),
        ("😀" * 36, 72, 2),
        ("😀" * 66, 132, 2),
        ("😀" * 67, 134, 3),
        ("я" * 66 + "😀" + "я" * 65, 133, 2),
        ("я" * 66 + "😀" + "я" * 66, 134, 3),
    ],
)
def test_segments_of_a_text_are_counted(text: str, units: int, count: int) -> None:
    found = segments(text)
    assert (found.units, found.count) == (units, count)


@given(st.text(max_size=500))
def test_parts_hold_the_units_and_are_not_many_more_than_needed(text: str) -> None:
    found = segments(text)
    if found.encoding == "ucs2":
        alone, part = 70, 67
        assert found.units == len(text.encode("utf-16-le", "surrogatepass")) // 2
        assert not set(text) <= set(DEFAULT + EXTENSION)
    else:
        alone, part = 160, 153
        assert found.units == len(text) + sum(text.count(character) for character in EXTENSION)
        assert set(text) <= set(DEFAULT + EXTENSION)
    if found.units <= alone:
        assert found.count == 1
    else:
        assert found.units <= part * found.count
        assert found.units > (part - 1) * (found.count - 1)  # a part stays open by one unit at most


@given(st.text(max_size=300), st.text(max_size=300))
def test_longer_text_never_has_fewer_segments(text: str, more: str) -> None:
    one, longer = segments(text), segments(text + more)
    assert one.count <= longer.count
    # The units of the two alphabets differ: two septets may be one unit of UTF-16.
    assert one.encoding != longer.encoding or one.units <= longer.units
