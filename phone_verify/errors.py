"""Exceptions raised by the library.

A wrong or expired code is not an exception; it is returned as an `Outcome`.

    ConfigurationError          an invalid setting or DSN; raised at start-up only
    PhoneVerifyError            base class of all run-time errors
    ├── InvalidPhoneError       the text is not a phone number that can be called or messaged
    ├── StoreError              the store did not respond: nothing was sent, nothing accepted
    ├── ProviderError           a provider refused, or could not be reached; the next driver may try
    └── UnclearError            sent, but the result is unknown; never retried with another driver

`ConfigurationError` is deliberately outside the hierarchy: code that handles failures of a provider
or a store must not hide an invalid setting. No message contains a code, a key, a full number or a
URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from sysconfig import get_paths
from traceback import extract_tb
from typing import Any, Self

#: A name, or a dotted path. Credentials have digits between letters, or other characters, or are longer.
_NAME = re.compile(r"_*[A-Za-z]+[0-9]{0,2}(?:[._+-]+[A-Za-z]+[0-9]{0,2})*", re.ASCII)
_LONGEST_NAME = 64
_LONGEST_WORD = 24
#: No credential is that short.
_SHORT = 3


class FieldFault(str):
    """What is wrong with a field: the English text, which `i18n` can translate.

    The template is the key in the catalogues; its values are names and limits.
    """

    __slots__ = ("_values", "template")
    template: str
    _values: dict[str, Any]

    def __new__(cls, template: str, /, **values: object) -> Self:
        made = super().__new__(cls, template.format(**values))
        made.template, made._values = template, values
        return made

    def in_language(self, translate: Callable[[str], str], isolate: Callable[[str], str]) -> str:
        """Return it translated; `isolate` keeps the direction of a value from changing that of the text."""
        values = {
            name: value.in_language(translate, isolate) if isinstance(value, FieldFault) else isolate(str(value))
            for name, value in self._values.items()
        }
        return translate(self.template).format(**values)


class PlacedFault(FieldFault):
    """A fault within a document, with the path of its place."""

    __slots__ = ()

    def __new__(cls, place: str, fault: str, /) -> Self:
        return super().__new__(cls, "{place}: {fault}", place=place, fault=fault)

    def in_language(self, translate: Callable[[str], str], isolate: Callable[[str], str]) -> str:
        """See `FieldFault`; only the fault is translated."""
        fault = self._values["fault"]
        said = fault.in_language(translate, isolate) if isinstance(fault, FieldFault) else fault
        return f"{isolate(self._values['place'])}: {said}"


def fault_of(error: ValueError) -> str:
    """Return what is wrong, as a `FieldFault` if the error was raised with one."""
    return error.args[0] if error.args and isinstance(error.args[0], FieldFault) else str(error)


class ConfigurationError(ValueError):
    """An invalid setting; the message names it and tells you how to fix it.

    `advice` is the part of the message with the line to write, if `problem` does not contain it.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(f"{problem}. {advice}" if advice else problem)
        self.problem = problem
        self.advice = advice


def quoted(value: object) -> str:
    """Return an invalid value of a setting in quotes if it is a name; otherwise its length only.

    A DSN, a key or a number may be in the place of another setting, and messages are logged.
    """
    text = str(value)
    if len(text) <= _SHORT or is_name(text):
        return repr(value)
    return f"({len(text)} characters, not shown)"


def is_name(text: str) -> bool:
    """Return whether this is a word or a dotted path, and so fit for a message."""
    words = re.split(r"[._+-]", text)
    return len(text) <= _LONGEST_NAME and max(map(len, words)) <= _LONGEST_WORD and bool(_NAME.fullmatch(text))


def missing_extra(what: str, extra: str, error: ImportError) -> ConfigurationError:
    """Return the error to raise `from` an ImportError, with the line that installs the extra.

    The text of an ImportError names modules only. It is repeated, since the package may be there
    and lack one that it needs.
    """
    return ConfigurationError(f"{what} cannot be loaded: {error}", f"Run: pip install 'phone-verify[{extra}]'")


class PhoneVerifyError(Exception):
    """Base class of all run-time errors."""


class InvalidPhoneError(PhoneVerifyError, ValueError):
    """The text is not a valid phone number, or has an extension or letters."""


class StoreError(PhoneVerifyError):
    """The store could not perform the step; nothing was sent or accepted because of it."""


class UnusableServiceError(StoreError):
    """The row of one service has mistakes, and this process knows no earlier form of it. Others can be used."""


class FailureKind(StrEnum):
    """The category of a provider's refusal."""

    BAD_NUMBER = "bad_number"
    CONFIGURATION = "configuration"
    BALANCE = "balance"
    RATE = "rate"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


class ProviderError(PhoneVerifyError):
    """The provider definitely did not carry the order.

    `trouble` is the category; `detail` is the provider's own status or text, scrubbed by the
    driver, for the log and never for visitors.
    """

    def __init__(self, trouble: FailureKind, detail: str = "") -> None:
        super().__init__(f"{detail} ({trouble})" if detail else str(trouble))
        self.trouble = trouble
        self.detail = detail

    @property
    def retryable(self) -> bool:
        """Whether the same order may succeed later without a change of settings or number."""
        return self.trouble in (FailureKind.RATE, FailureKind.TRANSIENT, FailureKind.UNKNOWN)


class UnclearError(PhoneVerifyError):
    """The request was sent, but the response was lost, late or unreadable.

    The message may be on its way. `reference` is that of the order, if the driver assigned one; its
    code can then still be checked.
    """

    def __init__(self, message: str = "", *, reference: str | None = None) -> None:
        super().__init__(message)
        self.reference = reference


def place_of(error: BaseException) -> str:
    """Return the line of the site's code that raised an error, or called the library that did, in
    parentheses; without one, the line of ours.
    """
    libraries = ("<", *(get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")))
    ours = str(Path(__file__).parent)
    every = extract_tb(error.__traceback__)
    frames = [frame for frame in every if not frame.filename.startswith(ours)] or every
    frames = [frame for frame in frames if not frame.filename.startswith(libraries)] or frames
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
