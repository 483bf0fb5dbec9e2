"""The entry point of `phone-verify`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. If click is missing, say which extra to install."""
    try:
        import click
    except ImportError:
        sys.exit("phone-verify needs click: pip install 'phone-verify[cli]'")
    from .commands import COMMANDS

    @click.group(context_settings={"help_option_names": ["-h", "--help"]}, commands=COMMANDS)
    @click.version_option(package_name="phone-verify")
    def phone_verify() -> None:
        """Verify phone numbers by SMS code, flash call or inbound call."""

    phone_verify()
