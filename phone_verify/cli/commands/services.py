"""`phone-verify services`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ...errors import ConfigurationError, StoreError
from ...services import listing
from ...services.catalog import Services
from .. import service_list
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, with_keys


@click.group(
    short_help="List, show and change services.",
    epilog=examples(
        "phone-verify services list",
        "phone-verify services set shop channels=sms,flash_call public=true",
        "phone-verify services set shop --file shop.yaml",
    ),
)
def services() -> None:
    """List, show and change services: named sets of channels, limits and texts.

    A change takes effect in every process of the site within five seconds.
    """


@services.command("list", short_help="List the services.")
@of_a_site
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def list_services(site: SiteTarget, as_json: bool) -> None:
    """List the services of the settings and of the database."""
    with _of(site) as found:
        entries = listing.entries(found)
    if as_json:
        click.echo(json.dumps([entry.document() for entry in entries], indent=2, ensure_ascii=False))
        return
    rows = table(*service_list.HEAD)
    for entry in entries:
        rows.add_row(*service_list.row(entry))
    console().print(rows)
    for entry in entries:
        for field, problem in entry.mistakes.items():
            say(f"{entry.name}: {field}: {problem}", Mark.ERROR)


@services.command("show", short_help="Show the fields of a service.")
@click.argument("name")
@of_a_site
def show_service(site: SiteTarget, name: str) -> None:
    """Show the fields that the service NAME has set, and its mistakes, as JSON."""
    with _of(site) as found:
        entry = service_list.entry_of(found, name)
    click.echo(json.dumps(entry.document(), indent=2, ensure_ascii=False))


@services.command("set", short_help="Create or change a service.")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@of_a_site
@click.option("--file", "path", type=click.Path(path_type=Path), help="YAML or JSON file with all fields.")
def set_service(site: SiteTarget, name: str, fields: tuple[str, ...], path: Path | None) -> None:
    """Create the service NAME, or set fields of it.

    Lists are separated by commas, mappings are JSON, and an empty value removes a field. A file replaces
    all fields.
    """
    if not fields and path is None:
        raise click.UsageError("name a file, or fields like title='Example Shop'")
    with _of(site) as found:
        service_list.change(found, name, path, fields)
    say(f"{name} is saved. It is in force in every process within five seconds.", Mark.OK)


@services.command("delete", short_help="Delete a service.")
@click.argument("name")
@of_a_site
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_service(site: SiteTarget, name: str, yes: bool) -> None:
    """Delete the service NAME from the database. Its open verifications can no longer be completed, its
    access keys are revoked, and no other service can have its name.
    """
    if not yes:
        click.confirm(f"Delete the service {name}? No other service can have its name.", abort=True)
    with _of(site) as found:
        service_list.delete(found, name)
    say(f"{name} is deleted.", Mark.OK)


@contextmanager
def _of(site: SiteTarget) -> Iterator[Services]:
    try:
        yield service_list.services_of(with_keys(site.config()))
    except ConfigurationError as error:
        raise click.ClickException(service_list.in_lines(error)) from None
    except StoreError as error:
        raise click.ClickException(f"The database does not answer: {error}.") from None
