"""`phone-verify new-driver`."""

from __future__ import annotations

from pathlib import Path

import click

from ..output import Mark, examples, say
from ..project.driver_package import plan_driver
from ..project.source import ProjectError


@click.command(
    "new-driver",
    short_help="Write a package with a driver for another provider.",
    epilog=examples("phone-verify new-driver acme-sms"),
)
@click.argument("name")
def new_driver(name: str) -> None:
    """Write a package with a driver for another provider in this folder.

    NAME is the scheme of its DSN. The package contains the driver, samples of the provider's responses,
    and the tests that every driver must pass.
    """
    folder = Path.cwd()
    try:
        planned = plan_driver(folder, name)
    except ProjectError as error:
        raise click.ClickException(str(error)) from None
    for change in planned.changes:
        change.path.parent.mkdir(parents=True, exist_ok=True)
        change.write()
        say(f"Wrote {change.path.relative_to(folder)}", Mark.OK)
    say("\nNext:")
    for step in planned.next_steps:
        say(f"  {step}")
