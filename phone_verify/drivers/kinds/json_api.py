"""Providers that respond in JSON and name an error by a code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import FailureKind, ProviderError, UnclearError
from ...exchange import Exchange, HttpRequest, HttpResponse
from ..base import Driver
from ..reading import trouble_of_status


@dataclass(frozen=True, slots=True)
class Fault:
    """The error that a document names: the provider's code as text (may be empty), and its words."""

    code: str
    said: object = None


def by_kind(codes: Mapping[FailureKind, str]) -> Mapping[str, FailureKind]:
    """Return the table of error codes from the codes of each kind, separated by spaces."""
    return {code: kind for kind, listed in codes.items() for code in listed.split()}


def code_of(value: object) -> str:
    """Return a provider's code as text; empty if it is neither a whole number nor a text."""
    return str(value) if type(value) is int and abs(value) < 10**9 else value if isinstance(value, str) else ""


def part_of(document: object, *names: str) -> Mapping[str, Any]:
    """Return the object at this path of names; empty if there is no object there."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def only(parts: object) -> Mapping[str, Any]:
    """Return the one object of a list; empty if it is no list of one object."""
    return parts[0] if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict) else {}


@dataclass(frozen=True)
class JsonDriver(Driver):
    """A driver whose requests are answered by JSON objects.

    A subclass has the provider's error codes in `errors`, and says in `fault_of` where a document
    names one. `error_words` are parts of the provider's text that decide if neither the code nor HTTP
    429 or 5xx does; they are in lower case, and the first that is found counts.
    """

    error_words: ClassVar[Mapping[str, FailureKind]] = {}

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error that this document names, or None if it names none."""
        raise NotImplementedError

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether a 2xx without an error says that it is a success; for a provider that says so."""
        return True

    def ask(
        self, request: HttpRequest, answers: Collection[str] = (), statuses: Collection[int] = ()
    ) -> Exchange[Mapping[str, Any]]:
        """Return the document of the response. Raises `ProviderError` for an HTTP status outside 2xx
        or a named error, except one whose code is in `answers` or whose HTTP status is in
        `statuses`, and `UnclearError` for a 2xx that is neither an error nor a success.
        """
        response = yield request
        document = response.json()
        fields = document if isinstance(document, dict) else {}
        fault = self.fault_of(fields)
        if fault is not None and (fault.code in answers or response.status in statuses):
            return fields
        if fault is not None or not response.ok:
            raise self.refusal(response, fault or Fault(""))
        if not isinstance(document, dict) or not self.is_success(fields):
            raise self.unclear("result")
        return fields

    def refusal(self, response: HttpResponse, fault: Fault) -> ProviderError:
        """Return the error of a response: by its code, HTTP 429 or 5xx, its words, or the HTTP status."""
        # Only a known code is shown: another may be a number or code of the user.
        shown = f"code {fault.code}" if fault.code in self.errors else ""
        said = ": ".join(part for part in (shown, self.redact(fault.said)) if part)
        by_status = trouble_of_status(response, said)
        kind = self.errors.get(fault.code)
        if kind is None and by_status.trouble not in (FailureKind.RATE, FailureKind.TRANSIENT):
            kind = self._kind_of_words(fault.said)
        if kind is None:
            kind = FailureKind.UNKNOWN if response.ok else by_status.trouble
        return ProviderError(kind, by_status.detail)

    def unclear(self, what: str) -> UnclearError:
        """Return the error for a 2xx that has no readable `what`."""
        return UnclearError(f"{self.scheme}: the response has no readable {what}")

    def _kind_of_words(self, said: object) -> FailureKind | None:
        text = said.lower() if isinstance(said, str) else ""
        return next((kind for words, kind in self.error_words.items() if words in text), None)
