"""`manage.py phone_verify_test NUMBER`."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify import Channel, InvalidPhoneError, StoreError
from phone_verify.cli import interactive
from phone_verify.cli.explaining import phone_of
from phone_verify.cli.terminal import StdTerminal
from phone_verify.config.drivers import load_drivers
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.routing import Router

from ... import app_settings
from ...site import current_site


class Command(BaseCommand):
    """Verify a number from the terminal, with the settings of this site."""

    help = (
        "Verify NUMBER from the terminal: send a code, place a call or show a number to call, and wait for the result. "
        "Asks first if that may cost money. Exits with an error if the number was not verified."
    )
    #: The terminal for input and output.
    terminal: Callable[..., interactive.Terminal] = StdTerminal

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of `phone-verify send`."""
        parser.add_argument("number")
        channels = [channel.value for channel in Channel]
        parser.add_argument("--channel", choices=channels, help="Default: the site's first channel.")
        parser.add_argument("--region", help="Region of a national number, like IR. Default: the setting region.")
        parser.add_argument("--locale", choices=list(LANGUAGES), help="Language of the message.")
        parser.add_argument("--yes", action="store_true", help="Send without asking first.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Confirm, send, and follow the verification to its end."""
        settings, verifier = app_settings.read(), current_site().verifier
        try:
            phone = phone_of(options["number"], options["region"] or settings.policy.region)
        except InvalidPhoneError as error:
            raise CommandError(str(error)) from None
        channel = Channel(options["channel"]) if options["channel"] else None
        router = Router(
            load_drivers(settings.dsns, settings.drivers),
            settings.channels,
            ticks=time.monotonic,
            rules=settings.routes,
        )
        terminal = type(self).terminal(color=not options["no_color"])
        try:
            with interactive.troubles_told(terminal):
                cost = interactive.describe_cost(router, phone, channel)
                if cost and not options["yes"] and not interactive.confirm(terminal, cost):
                    raise CommandError("nothing was sent")
                verified = interactive.verify(verifier, phone, terminal, channel=channel, locale=options["locale"])
        except StoreError as error:
            raise CommandError(f"the store is unavailable: {error}") from None
        except EOFError:
            raise CommandError("end of input, cancelled") from None
        except KeyboardInterrupt:
            raise CommandError("cancelled", returncode=130) from None
        if not verified:
            raise CommandError("not verified")
