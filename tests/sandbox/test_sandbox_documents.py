"""The YAML subset that scenarios use, and nothing else."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phone_verify.sandbox.documents import LARGEST_FILE, DocumentError, read_document, write_document

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=10,
)


def test_values_have_their_line_numbers() -> None:
    document = read_document("faults:\n  - provider: amoot\n    delay: 1.5\nlines: {ssms: [1, true, null, ~]}\n")
    assert document.value == {"faults": [{"provider": "amoot", "delay": 1.5}], "lines": {"ssms": [1, True, None, None]}}
    assert document.lines["faults[0].delay"] == 3
    assert document.lines["lines.ssms"] == 4


@pytest.mark.parametrize(
    "text",
    ["+989120000000", "09120000000", "on", "yes", "No", "2026-01-02", "1_000", "0x1f", "1:30", ".inf", "<<", "'1'"],
)
def test_text_like_value_is_text(text: str) -> None:
    assert read_document(text).value == text.strip("'")


def test_empty_file_is_none() -> None:
    assert read_document("# only a comment\n").value is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1\n", "line 3"),
        ("a: &x 1\nb: 2\n", "line 1: write it out"),
        ("a: 1\nb: *x\n", "line 2: write it out"),
        ("a: 1\nb: !!python/object:os.system {}\n", "line 2: remove the tag; tags are not supported"),
        ("a: !!int x", "line 1: remove the tag; tags are not supported"),
        ("a: 1\na: 2\n", "line 2: duplicate name"),
        ("[1]: 2\n", "line 1: write a name"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("\tx: 1", "line 1"),
        ("a: \x00", "characters"),
        ("[" * 20_000, "too deeply"),
        ("x" * (LARGEST_FILE + 1), "64 KiB"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    assert said in str(caught.value)


@given(plain)
@example({"\x85": "\u2028"})
def test_written_document_reads_back(value: object) -> None:
    assert read_document(write_document(value)).value == value


@given(st.text(max_size=200) | st.text("[]{}:,-&*!|>'\"%@ \n#ab1+.", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with suppress(DocumentError):
        read_document(text)
