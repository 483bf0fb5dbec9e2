"""Codes in messages that visitors paste into the code field."""

from __future__ import annotations

import pytest

from phone_verify.codes import normalise
from phone_verify.web.forms import code_in


@pytest.mark.parametrize(
    "typed",
    [
        "133894",
        "۱۳۳۸۹۴",
        "Your code is 133894",
        "133894 is your Shop code. It expires in 5 minutes.\n\n@shop.example #133894",
        "کد شما ۱۳۳۸۹۴ است",
        "G-133894",
    ],
)
def test_code_is_found_in_a_pasted_message(typed: str) -> None:
    assert normalise(code_in(typed, 6)) == "133894"


@pytest.mark.parametrize("typed", ["1338945", "13389", "code 133894 or 222222", "", "no code", "code 1338945"])
def test_text_without_one_fitting_run_is_no_code(typed: str) -> None:
    assert code_in(typed, 6) == typed


def test_code_of_unknown_length_is_not_searched() -> None:
    assert code_in("Your code is 133894", None) == "Your code is 133894"
