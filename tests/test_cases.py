"""Tables of cases that run as one test."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.cases import in_one_test
from tests.conftest import BARE

FAILING = """
import pytest
from tests.cases import in_one_test

@in_one_test
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(("name", "fails"), [("a", ValueError), ("b", None)])
def test_table(number, name, fails):
    if fails and number == 3:
        raise fails("wrong")
    if fails and number == 4:
        pytest.fail("wrong too")
"""


def test_every_case_runs_with_the_fixtures(tmp_path: Path) -> None:
    ran = []

    @in_one_test
    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.parametrize(("name", "other"), {"a": 3, "b": 4}.items())
    def table(tmp_path: Path, number: int, name: str, other: int) -> None:
        ran.append((name, other, number, tmp_path))

    assert list(inspect.signature(table).parameters) == ["tmp_path"]
    table(tmp_path=tmp_path)
    assert sorted(ran) == [(*each, tmp_path) for each in (("a", 3, 1), ("a", 3, 2), ("b", 4, 1), ("b", 4, 2))]


def test_failed_cases_are_reported_together(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    # pytest-django sets Django up once in a process, and an earlier test may have used it.
    done = pytester.runpytest_inprocess(*BARE, "-p", "no:django")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*2 of 10 cases failed*", "*The case: {'name': 'a', 'fails'*'number': 3}*"])
