"""`phone-verify init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ...config.settings import PREFIX
from ...phone import is_region
from ..output import Mark, console, examples, say
from ..project import ProjectError, plan

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def _region(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_region(value):
        raise click.BadParameter("use an ISO 3166 code in capitals, like IR")
    return value


@click.command(
    short_help="Add phone verification to a project.",
    epilog=examples("phone-verify init --region IR", "phone-verify init shop/__init__.py --yes"),
)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--region", callback=_region, help="Region of the site's numbers, e.g. IR; the only one it serves.")
@click.option("--yes", is_flag=True, help="Write without confirmation.")
def init(file: Path | None, region: str | None, yes: bool) -> None:
    """Add phone verification to the Django project or Flask application in this folder.

    Shows the changes, and writes them after confirmation. FILE is the file that creates the Flask
    application, if it is not found. In development, messages are printed at the terminal.
    """
    folder = Path.cwd()
    try:
        planned = plan(folder, region, file and folder / file)
    except ProjectError as error:
        raise click.ClickException(str(error)) from None
    screen = console()
    for change in planned.changes:
        for line in change.diff(folder):
            screen.print(line, style=_STYLES.get(line[:1], ""), soft_wrap=True)
    for name, condition in planned.overrides.items():
        if os.environ.get(f"{PREFIX}{name.upper()}"):
            # The value is not shown: a DSN has credentials.
            when = f" {condition}" if condition else ""
            say(
                f"{PREFIX}{name.upper()} is set in the environment, but the code above sets {name} too, which takes "
                f"precedence{when}. To use the variable, remove {name} from that code.",
                Mark.WARNING,
            )
    if not yes and not click.confirm("\nWrite these changes?"):
        raise click.ClickException("nothing was written")
    for change in planned.changes:
        change.write()
        say(f"Wrote {change.path.relative_to(folder)}", Mark.OK)
    say("\nNext:")
    for step in planned.next_steps:
        say(f"  {step}")
