"""`phone-verify send`."""

from __future__ import annotations

import sys
import time

import click

from ...config.drivers import load_drivers
from ...config.settings import Settings
from ...errors import ConfigurationError, InvalidPhoneError, StoreError
from ...i18n.languages import LANGUAGES, named
from ...model import Channel
from ...routing import Router
from .. import interactive
from ..explaining import phone_of
from ..output import Mark, examples
from ..site_loader import SiteTarget, of_a_site, with_keys
from ..terminal import StdTerminal

#: The exit status of shells after Ctrl-C.
_INTERRUPTED = 130


@click.command(
    short_help="Verify a number from the terminal.",
    epilog=examples(
        "phone-verify send +989120000000",
        "phone-verify send 09120000000 --region IR --channel flash_call",
        "phone-verify send +989120000000 --flask app:create_app --yes",
    ),
)
@click.argument("number")
@of_a_site
@click.option(
    "--channel", type=click.Choice([channel.value for channel in Channel]), help="Default: the site's first channel."
)
@click.option("--region", help="Region for national numbers, e.g. IR. Default: the setting REGION.")
@click.option("--locale", help="Language of the message, e.g. fa.")
@click.option("--yes", is_flag=True, help="Send without confirmation.")
def send(site: SiteTarget, number: str, channel: str | None, region: str | None, locale: str | None, yes: bool) -> None:
    """Verify NUMBER from the terminal.

    Asks for confirmation if it may cost money. Exits with status 0 only if the number was verified.
    """
    try:
        given = with_keys(site.config())
        settings = Settings.from_mapping(given.values, given.environ)
        router = Router(
            load_drivers(settings.dsns, settings.drivers),
            settings.channels,
            ticks=time.monotonic,
            rules=settings.routes,
        )
        verifier = given.site().verifier
    except ConfigurationError as error:
        raise click.ClickException(f"{error}\nRun `phone-verify doctor` to find all problems.") from None
    try:
        phone = phone_of(number, region or settings.policy.region)
    except InvalidPhoneError as error:
        raise click.BadParameter(str(error), param_hint="NUMBER") from None
    if locale is not None and named(locale) is None:
        raise click.BadParameter(f"supported: {', '.join(LANGUAGES)}", param_hint="--locale")
    wanted = Channel(channel) if channel else None
    terminal = StdTerminal()
    try:
        with interactive.troubles_told(terminal):
            cost = interactive.describe_cost(router, phone, wanted)
            if cost and not yes and not interactive.confirm(terminal, cost):
                terminal.say("Aborted, nothing was sent.")
                sys.exit(1)
            verified = interactive.verify(verifier, phone, terminal, channel=wanted, locale=locale)
    except StoreError as error:
        terminal.say(f"The store does not answer: {error}.", Mark.ERROR)
        sys.exit(1)
    except KeyboardInterrupt:
        terminal.say("Cancelled.", Mark.WARNING)
        sys.exit(_INTERRUPTED)
    except EOFError:
        terminal.say("End of input, cancelled.", Mark.WARNING)
        sys.exit(1)
    sys.exit(0 if verified else 1)
