"""`phone-verify send`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from secrets import token_urlsafe

import click

from ...config.drivers import load_drivers
from ...config.settings import Settings
from ...config.site import SiteConfig
from ...errors import ConfigurationError, InvalidPhoneError, StoreError
from ...i18n.languages import LANGUAGES, named
from ...model import Channel
from ...phone import PhoneNumber
from ...routing import Router
from .. import interactive
from ..site_loader import SiteTarget, of_a_site
from ..terminal import StdTerminal

#: As shells tell that Ctrl-C ended a program.
_INTERRUPTED = 130


@click.command()
@click.argument("number")
@of_a_site
@click.option(
    "--channel", type=click.Choice([channel.value for channel in Channel]), help="The preferred one if not named."
)
@click.option("--region", help="Of a number in national form, like IR; the setting REGION if not named.")
@click.option("--locale", help="The language of the message, like fa.")
@click.option("--yes", is_flag=True, help="Send without asking first.")
def send(site: SiteTarget, number: str, channel: str | None, region: str | None, locale: str | None, yes: bool) -> None:
    """Verify NUMBER by hand: send a code, place a call or name a line, and wait for the proof.

    Asks first where that may cost money. Ends with status 0 only if the number was verified.
    """
    try:
        if site.given is None:
            raise ConfigurationError(site.faults[0].says)
        given = _with_keys(site.given)
        settings = Settings.read(given.values, given.environ)
        router = Router(load_drivers(settings.dsns), settings.channels, ticks=time.monotonic)
        verifier = given.site().verifier
    except ConfigurationError as error:
        raise click.ClickException(f"{error}\n`phone-verify doctor` says what else is wrong.") from None
    try:
        phone = PhoneNumber.parse(number, region or settings.policy.region)
    except InvalidPhoneError as error:
        raise click.BadParameter(str(error), param_hint="NUMBER") from None
    if locale is not None and named(locale) is None:
        raise click.BadParameter(f"we speak {', '.join(LANGUAGES)}", param_hint="--locale")
    wanted = Channel(channel) if channel else None
    terminal = StdTerminal()
    try:
        with interactive.troubles_told(terminal):
            cost = interactive.describe_cost(router, phone, wanted)
            if cost and not yes and not interactive.confirm(terminal, cost):
                raise click.ClickException("nothing was sent")
            verified = interactive.verify(verifier, phone, terminal, channel=wanted, locale=locale)
    except StoreError as error:
        terminal.say(f"The store does not answer: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        terminal.say("Cancelled.")
        sys.exit(_INTERRUPTED)
    except EOFError:
        terminal.say("The input is over: cancelled.")
        sys.exit(1)
    sys.exit(0 if verified else 1)


def _with_keys(given: SiteConfig) -> SiteConfig:
    """Where nothing outlives this run, and nobody set keys, a key of this run will do."""
    settings = Settings.read(given.values, given.environ)
    alone = not given.framework and (settings.store or given.default_store()).startswith("memory:")
    return replace(given, framework_keys=lambda: [token_urlsafe(48)]) if alone else given
