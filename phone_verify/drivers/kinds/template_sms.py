"""Providers that put our code into a template of the site's account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...exchange import Exchange, HttpRequest
from ...model import Channel, CodeSource, Order, Receipt
from ..base import Ability, NationalDriver
from ..options import Option, matching
from ..reading import our_code, reference_of
from .json_api import JsonDriver


@dataclass(frozen=True)
class TemplateDriver(NationalDriver, JsonDriver):
    """A driver that names a template and sends our code as its value.

    A subclass has `template_request` and `receipt_of`; its `options` contain these, and more if the
    provider needs more.
    """

    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "template": Option(
            "",
            matching(r".*\S.*", "its name or number"),
            "login",
            "the name or number of the template in the provider's panel",
            required=True,
        ),
    }

    template: str

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code."""
        document = yield from self.ask(self.template_request(order, self.written(order.phone), our_code(order)))
        return self.receipt_of(document)

    def template_request(self, order: Order, number: str, code: str) -> HttpRequest:
        """Return the request that sends this code to this number, as the provider writes numbers."""
        raise NotImplementedError

    def receipt_of(self, document: Mapping[str, Any]) -> Receipt:
        """Return the receipt in the response to `template_request`. Raises `UnclearError` without one."""
        raise NotImplementedError

    def reference_in(self, value: object) -> str:
        """Return a reference of the provider. Raises `UnclearError` if it is unreadable."""
        reference = reference_of(value)
        if reference is None:
            raise self.unclear("message id")
        return reference
