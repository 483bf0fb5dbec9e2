"""Tables of cases as one test: pytest takes four milliseconds for a test, which is more than most cases take."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

#: What a failed case raises; `pytest.fail` raises no `Exception`.
_FAILURES = (Exception, pytest.fail.Exception)


def in_one_test(function: Callable[..., None]) -> Callable[..., None]:
    """Run the cases of `parametrize` below this decorator as one test.

    All cases run, with the same fixtures; the failed ones are reported together, each with its values.
    """
    marks: list[pytest.Mark] = function.pytestmark  # type: ignore[attr-defined]
    tables = [list(_table(*mark.args)) for mark in marks if mark.name == "parametrize"]
    cases: list[dict[str, Any]] = [
        {name: value for row in rows for name, value in row.items()} for rows in itertools.product(*tables)
    ]
    assert cases

    def run_cases(**fixtures: Any) -> None:
        failures = []
        for case in cases:
            try:
                function(**fixtures, **case)
            except _FAILURES as error:
                error.add_note(f"The case: {case!r}")
                failures.append(error)
        if failures:
            raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases failed", failures)

    signature = inspect.signature(function)
    shared = [parameter for name, parameter in signature.parameters.items() if name not in cases[0]]
    run_cases.__signature__ = signature.replace(parameters=shared)  # type: ignore[attr-defined]
    run_cases.__name__, run_cases.__doc__, run_cases.__module__ = (
        function.__name__,
        function.__doc__,
        function.__module__,
    )
    run_cases.place_as = function  # type: ignore[attr-defined]
    run_cases.pytestmark = [mark for mark in marks if mark.name != "parametrize"]  # type: ignore[attr-defined]
    return run_cases


def _table(names: str | tuple[str, ...], rows: Any) -> Iterator[dict[str, Any]]:
    """Return the rows of a `parametrize`, by its names."""
    if isinstance(names, str):
        names = tuple(name.strip() for name in names.split(","))
    for row in rows:
        values = row if len(names) > 1 else (row,)
        yield dict(zip(names, values, strict=True))
