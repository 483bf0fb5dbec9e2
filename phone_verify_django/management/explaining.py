"""Commands that explain something of orders to one number."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from phone_verify import PhoneNumber
from phone_verify.cli.explaining import Explanation
from phone_verify.errors import ConfigurationError, InvalidPhoneError, StoreError

from ..site import site_config


class ExplainCommand(BaseCommand):
    """Explain something of a number, as the command of `phone-verify` with the same name."""

    explanation: ClassVar[Explanation[Any]]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command of `phone-verify`."""
        parser.add_argument("number")
        parser.add_argument("--region", help="Region for national numbers, e.g. IR. Default: the setting REGION.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Output JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show the explanation."""
        try:
            phone, found = self.explanation.of(site_config(), options["number"], options["region"])
        except (ConfigurationError, InvalidPhoneError) as error:
            raise CommandError(str(error)) from None
        except StoreError as error:
            raise CommandError(f"The store does not answer: {error}.") from None
        lines = [self.explanation.document(phone, found)] if options["as_json"] else self.lines(phone, found)
        for line in lines:
            self.stdout.write(line)

    def lines(self, phone: PhoneNumber, found: Any) -> Iterator[str]:
        """Return the explanation as text."""
        raise NotImplementedError
