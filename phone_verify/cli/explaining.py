"""What commands explain of orders to one number: how it is found, and how it is shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click

from ..config.site import SiteConfig
from ..errors import InvalidPhoneError
from ..phone import PhoneNumber
from ..verifier.blocking import Verifier
from .site_loader import SiteTarget, of_a_site, reported, with_keys

T = TypeVar("T")


def phone_of(text: str, region: str | None) -> PhoneNumber:
    """Return the phone of a number in national form in this region, or international.

    Raises `InvalidPhoneError` with what to write.
    """
    try:
        return PhoneNumber.parse(text, region)
    except InvalidPhoneError as error:
        hint = "" if region else " Or set its region, like --region IR."
        raise InvalidPhoneError(f"{error}{hint}") from None


@dataclass(frozen=True, slots=True)
class Explanation(Generic[T]):
    """`find` returns what is explained of a phone on a site, and `as_json` what to show of it."""

    find: Callable[[SiteConfig, Verifier, PhoneNumber], T]
    as_json: Callable[[PhoneNumber, T], Mapping[str, Any]]

    def of(self, given: SiteConfig, text: str, region: str | None) -> tuple[PhoneNumber, T]:
        """Return the phone that `text` names, and what is explained of it.

        Raises `ConfigurationError`, `InvalidPhoneError` with what to write, and `StoreError`.
        """
        verifier = given.site().verifier
        phone = phone_of(text, region or verifier.policy.region)
        return phone, self.find(given, verifier, phone)

    def document(self, phone: PhoneNumber, found: T) -> str:
        """Return the explanation as JSON."""
        return json.dumps(self.as_json(phone, found), indent=2, ensure_ascii=False)

    def command(self, show: Callable[[PhoneNumber, T], None]) -> Callable[..., None]:
        """Return the function of a command that explains a NUMBER, and shows it by `show` or as JSON."""

        @click.argument("number")
        @of_a_site
        @click.option("--region", help="Region for national numbers, e.g. IR. Default: the setting REGION.")
        @click.option("--json", "as_json", is_flag=True, help="Output JSON.")
        @functools.wraps(show)
        def explain(site: SiteTarget, number: str, region: str | None, as_json: bool) -> None:
            try:
                with reported("The store"):
                    phone, found = self.of(with_keys(site.config()), number, region)
            except InvalidPhoneError as error:
                raise click.BadParameter(str(error), param_hint="NUMBER") from None
            if as_json:
                click.echo(self.document(phone, found))
            else:
                show(phone, found)

        return explain
