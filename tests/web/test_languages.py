"""The choice of a visitor's language, and its digits."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.i18n.languages import ENGLISH, LANGUAGES, named, preferred
from tests.cases import in_one_test


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_language_has_its_script_direction(language: object) -> None:
    from phone_verify.i18n.texts import texts_in

    texts = texts_in(language)  # type: ignore[arg-type]
    ways = {unicodedata.bidirectional(letter) for letter in texts.page["login_title"] if letter.isalpha()}
    assert ways == {"L"} if texts.language.direction == "ltr" else ways <= {"R", "AL"}
    assert [unicodedata.digit(digit) for digit in texts.language.digits] == list(range(10))


def test_numbers_are_written_in_the_languages_digits() -> None:
    assert [language.number(1405) for language in LANGUAGES.values()] == ["1405", "۱۴۰۵", "1405", "١٤٠٥"]


@pytest.mark.parametrize("tag", ["fa", "fa-IR", "fa_IR", "FA-ir", "fa-Arab-IR", "fa-AF"])
def test_tag_names_its_language(tag: str) -> None:
    assert named(tag) is LANGUAGES["fa"]


@in_one_test
@pytest.mark.parametrize("tag", ["", "f", "far", "fas", "x-fa", "fa IR", "fa-", "fa\n", "fa-IR\x00", "فا", "de", "*"])
def test_unsupported_tag_names_no_language(tag: str) -> None:
    assert named(tag) is None


@in_one_test
@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("fa", "fa"),
        ("fa-IR,fa;q=0.9,en-US;q=0.8,en;q=0.7", "fa"),
        ("de-DE,ru;q=0.5,en;q=0.4", "ru"),
        ("en;q=0.3, ar;q=0.8", "ar"),
        ("ru , ar", "ru"),
        ("ru;q=0.5,ar;q=0.5", "ru"),
        ("ru;q=0, ar;q=0.001", "ar"),
        ("fa;q=0", "en"),
        ("*", "en"),
        ("*, fa;q=0.9", "en"),
        ("de, *;q=0.1, ru;q=0.2", "ru"),
        ("ru ; Q=1.000", "ru"),
        ("ru;q=2, fa;q=-1, ar;q=x, en;level=1", "en"),
        ("fa;q=nan,ru;q=inf,ar;q=1e9", "en"),
        (",,;;q=1,ru,", "ru"),
        ("-" * 5000 + ",fa", "en"),
        ("a," * 100_000 + "fa", "en"),
    ],
)
def test_accept_language_header_decides(header: str, tag: str) -> None:
    assert preferred(header).tag == tag


@given(st.text() | st.text("faruenqQ=;,.-*01 \t\x00"))
def test_any_header_or_tag_is_parsed(text: str) -> None:
    assert preferred(text) in LANGUAGES.values()
    assert named(text) in [None, *LANGUAGES.values()]
    assert named(text) is None or preferred(text) is named(text) or "_" in text or text.startswith(tuple(" \t"))


def test_english_is_the_fallback() -> None:
    assert LANGUAGES["en"] is ENGLISH


def test_catalogues_are_loaded_on_first_use() -> None:
    program = (
        "import sys, phone_verify, phone_verify.verifier.blocking\n"
        "print('gettext' in sys.modules, 'phone_verify.i18n.texts' in sys.modules)\n"
        "import phone_verify.config.settings, phone_verify.api\n"
        "from phone_verify.i18n.texts import texts_in\n"
        "print(texts_in.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "0"]
