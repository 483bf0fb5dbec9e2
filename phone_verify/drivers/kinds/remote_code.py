"""Providers that generate and check the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import FailureKind, ProviderError
from ...exchange import Exchange, HttpRequest
from ...phone import PhoneNumber
from .json_api import JsonDriver


@dataclass(frozen=True)
class RemoteCodeDriver(JsonDriver):
    """A driver whose provider checks the code.

    `wrong_codes` are the error codes by which the provider says that the code is wrong or
    expired: both end in "wrong code", because only a new code helps. `wrong_statuses` are the HTTP
    statuses that say so with an error of any code.
    """

    wrong_codes: ClassVar[frozenset[str]] = frozenset()
    wrong_statuses: ClassVar[frozenset[int]] = frozenset()

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        """Return whether the code of the order with this reference is right. Raises `ProviderError` or
        `UnclearError` if the provider gives no verdict.
        """
        if not self.reaches(phone):
            raise ProviderError(FailureKind.BAD_NUMBER, "outside of the provider's numbers")
        request = self.check_request(phone, code, reference)
        document = yield from self.ask(request, self.wrong_codes, self.wrong_statuses)
        if self.fault_of(document) is not None:
            return False
        verdict = self.verdict(document)
        if verdict is None or self.order_in(document) not in (None, reference):
            raise self.unclear("verdict, or is about another order")
        return verdict

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the request that asks whether the code is right. Raises `ProviderError` if it cannot
        be asked without a reference.
        """
        raise NotImplementedError

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return what the response to `check_request` says; None if it says nothing readable."""
        raise NotImplementedError

    def order_in(self, document: Mapping[str, Any]) -> str | None:
        """Return the reference of the order that the response to `check_request` names; None if it
        names none.
        """
        return None


def known(reference: str | None) -> str:
    """Return the reference that a check needs. Raises `ProviderError` if the order has none."""
    if reference is None:
        raise ProviderError(FailureKind.UNKNOWN, "the order has no reference, so its code cannot be checked")
    return reference
