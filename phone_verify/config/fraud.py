"""The setting `fraud`: the rules of the fraud guard, in the settings or in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigurationError, quoted
from ..fraud.lists import Lists, NumberList, NumberType
from ..fraud.rules import FraudRules
from ..phone import is_region
from .files import document_in

_SETTING = "PHONE_VERIFY_FRAUD"
_EXAMPLE = "Example: {'record_only': True, 'deny': {'prefixes': ['+88213']}}"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}", re.ASCII)
_FIELDS = ("record_only", "refuse_from", "traffic", "allow", "deny", "disposable")
_OF_LIST = ("numbers", "prefixes", "regions", "types")
#: A list of disposable numbers with more lines does not fit a web process.
_MOST_LINES = 1_000_000

T = TypeVar("T")


class InvalidFraudRulesError(ConfigurationError):
    """Rules with mistakes: `fields` maps each field, like `deny.prefixes`, to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        said = "; ".join(f"{field}: {problem}" if field else problem for field, problem in fields.items())
        super().__init__(f"{_SETTING}: {said}", _EXAMPLE if "" in fields else "")
        self.fields = dict(fields)


def read_fraud(value: object) -> FraudRules | None:
    """Return the rules of the setting, of the YAML file that it names, or of a service; None without any.

    Raises `InvalidFraudRulesError` with every mistake by field, and `ConfigurationError` for a file.
    """
    if isinstance(value, str | Path) and str(value).strip():
        value = document_in(Path(value), _SETTING)
    if value is None or value == "":
        return None
    if not isinstance(value, Mapping):
        raise InvalidFraudRulesError({"": "must map fields to values, or be the path of a YAML file that does"})
    return _Reader(value).rules()


class _Reader:
    """Reads the rules and collects what is wrong with their fields."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self._values = values
        self._faults: dict[str, str] = {}

    def rules(self) -> FraudRules:
        """Return the rules. Raises `InvalidFraudRulesError`."""
        self._check_names(self._values, _FIELDS)
        rules = FraudRules(
            lists=Lists(
                allow=self._list("allow"),
                deny=self._list("deny"),
                disposable=self._read("disposable", _disposable, frozenset()),
            ),
            traffic=self._read("traffic", _flag, default=True),
            record_only=self._read("record_only", _flag, default=True),
            refuse_from=self._read("refuse_from", _score, 60),
        )
        if not rules.traffic and rules.lists == Lists() and not self._faults:
            self._faults["traffic"] = "is false and there is no list, so the guard weighs nothing; add a list"
        if self._faults:
            raise InvalidFraudRulesError(self._faults)
        return rules

    def _list(self, name: str) -> NumberList:
        given = self._values.get(name)
        if name not in self._values:
            return NumberList()
        if not isinstance(given, Mapping):
            self._faults[name] = f"must map {', '.join(_OF_LIST)} to lists"
            return NumberList()
        self._check_names(given, _OF_LIST, f"{name}.")
        return NumberList(
            numbers=self._words(name, given, "numbers", _number, "write each in E.164, like '+989120000000'"),
            prefixes=self._words(
                name, given, "prefixes", _prefix, "write each as the beginning of a number, like '+88213'"
            ),
            regions=self._words(name, given, "regions", _region, "write each as two quoted capitals, like 'IR'"),
            types=self._words(name, given, "types", NumberType, f"use {', '.join(NumberType)}"),
        )

    def _words(
        self, name: str, given: Mapping[Any, Any], field: str, read: Callable[[str], T], advice: str
    ) -> frozenset[T]:
        if field not in given:
            return frozenset()
        words, where = given[field], f"{name}.{field}"
        # Else an entry that was commented out by mistake would go unnoticed.
        if not isinstance(words, list | tuple) or not words:
            self._faults[where] = "must be a list with one entry or more; leave it out if there is none"
            return frozenset()
        found = set()
        for word in words:
            try:
                if not isinstance(word, str):
                    raise ValueError
                found.add(read(word))
            except ValueError:
                self._faults[where] = f"{quoted(str(word))} cannot be used; {advice}"
                break
        return frozenset(found)

    def _read(self, name: str, read: Callable[[Any], T], default: T) -> T:
        if name not in self._values:
            return default
        try:
            return read(self._values[name])
        except ValueError as error:
            self._faults[name] = str(error)
            return default

    def _check_names(self, given: Mapping[Any, Any], known: tuple[str, ...], within: str = "") -> None:
        for name in given:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                advice = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
                self._faults[f"{within}{str(name)[:64]}"] = f"unknown field; {advice}"


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def _score(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100:
        raise ValueError("write a whole number from 1 to 100")
    return value


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError
    return text


def _region(text: str) -> str:
    if not is_region(text):
        raise ValueError
    return text


def _disposable(value: object) -> frozenset[str]:
    """Return the numbers and beginnings of numbers in a file: one a line, `#` begins a comment."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError("write the path of a text file with one number or beginning of numbers in each line")
    found = set()
    try:
        with Path(value).open(encoding="utf-8") as lines:
            for count, line in enumerate(lines, 1):
                if count > _MOST_LINES:
                    raise ValueError(f"the file has more than {_MOST_LINES} lines")
                text = line.partition("#")[0].strip()
                if text and not _NUMBER.fullmatch(text) and not _PREFIX.fullmatch(text):
                    raise ValueError(f"line {count} is not a number or the beginning of one, like +12025550123")
                found.add(text)
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
    return frozenset(found - {""})
