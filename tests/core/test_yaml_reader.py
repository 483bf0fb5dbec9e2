"""Documents that people write in YAML: plain values, or an error that says where and what to write."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.documents.yaml_reader import YamlError, read_yaml
from tests.cases import in_one_test


def test_values_and_their_lines_are_read() -> None:
    document = read_yaml('a: [1, 2.5, true, null, "x"]\nb:\n  c: !!str 7\n')
    assert document.value == {"a": [1, 2.5, True, None, "x"], "b": {"c": "7"}}
    assert (document.lines["a", 4], document.lines["b", "c"]) == (1, 3)
    assert read_yaml("# nothing\n").value is None


@in_one_test
@pytest.mark.parametrize(
    ("text", "says"),
    [
        *(
            (f"a: {value}", "line 1: write the value in quotes, without a tag")
            for value in (
                '!!int ""', '!!int "-"', "!!int x", '!!float ""', "!!bool x", "!!timestamp x", "!!timestamp 2026-01-32",
                "!!binary x", "!!null [1]", "!!str {}", "!!set {x}", "!!omap [x]", "!FAKE x", "=", "<<", "2026-01-01",
                "2026-13-01", "0x_", "0b_", "9" * 5000, ":".join(["1"] * 300) + ".0",
            )
        ),
        *((f"{name}: x", "line 1: write the name in quotes") for name in ("1", "on", "null", "1.5")),
        *((f"? {name}\n: x", "line 1: write the") for name in ("[a]", "{a: b}", "!!bool x", "2026-01-01")),
        ("<<: {a: 1}", "line 1: write the value in quotes"),
        ("a: 1\nb: 2\na: 3", "line 3: duplicate name"),
        ("- {x: 1, 'x': 2}", "line 1: duplicate name"),
        ("a: &x [1]\nb: *x", "line 1: write the value out wherever it is used"),
        ("&x {a: *x}", "line 1: write the value out wherever it is used"),
        ("a: *FAKE", "line 1: write one document, without anchors"),
        ("a: 1\n---\nb: 1", "line 2: write one document"),
        ("a: [1", "line 1: this is not YAML"),
        ("a: \x00", "remove the control characters"),
        ("[" * 60 + "]" * 60, "at most 50 levels"),
        ("[" * 20_000, "at most 50 levels"),
    ],
)  # fmt: skip
def test_other_text_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(YamlError) as raised:
        read_yaml(text)
    assert str(raised.value).startswith(says) or says.startswith("at most")
    assert says.removeprefix("line 1: ") in str(raised.value)
    assert "FAKE" not in str(raised.value)


def test_aliases_do_not_multiply_a_short_text() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with pytest.raises(YamlError, match="write the value out"):
        read_yaml("a0: &a0 [x]\n" + levels)


_tagged = st.tuples(
    st.sampled_from(
        ["int", "float", "bool", "null", "str", "timestamp", "binary", "set", "omap", "pairs", "map", "seq"]
    ),
    st.text("[]{}:,-+_.'\"0b1x o#9", max_size=12),
).map(lambda each: f"a: !!{each[0]} {each[1]}")


@given(st.text(max_size=100) | st.text("[]{}:,-&*!|>'\"%@ \n#ab1+.?<=0x_", max_size=60) | _tagged)
def test_any_text_is_plain_values_or_refused(text: str) -> None:
    with suppress(YamlError):
        _assert_plain(read_yaml(text).value)


def _assert_plain(value: Any) -> None:
    match value:
        case dict():
            assert all(type(name) is str for name in value)
            for item in value.values():
                _assert_plain(item)
        case list():
            for item in value:
                _assert_plain(item)
        case _:
            assert value is None or type(value) in (str, int, float, bool)
