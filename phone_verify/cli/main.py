"""The entry point of `phone-verify`."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import click

from .commands import COMMANDS
from .output import Mark, examples, say


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without ✓ gets a question mark

    start = examples("phone-verify demo", "phone-verify init --region IR", "phone-verify doctor")

    @click.group(context_settings={"help_option_names": ["-h", "--help"]}, commands=COMMANDS, epilog=start)
    @click.version_option(package_name="phone-verify")
    def phone_verify() -> None:
        """Verify phone numbers by SMS code, flash call or inbound call."""

    try:
        status = phone_verify(prog_name="phone-verify", standalone_mode=False)
    except click.UsageError as error:
        error.show()  # with the usage
        sys.exit(error.exit_code)
    except click.ClickException as error:
        say(error.format_message(), Mark.ERROR, stderr=True)
        sys.exit(error.exit_code)
    except click.Abort:
        say("Aborted.", Mark.WARNING, stderr=True)
        sys.exit(1)
    sys.exit(status)
