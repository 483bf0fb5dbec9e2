"""`manage.py phone_verify_services`."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from phone_verify.cli import service_list
from phone_verify.cli.plain import in_columns
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.services import listing

from ...site import site_config


class Command(BaseCommand):
    """List, show and change services."""

    help = (
        "List, show and change services: named sets of channels, limits and texts. A change takes effect in every "
        "process of the site within five seconds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of `phone-verify services`."""
        actions = parser.add_subparsers(dest="action", required=True)
        listed = actions.add_parser("list", help="List the services.")
        listed.add_argument("--json", action="store_true", dest="as_json", help="Output JSON.")
        actions.add_parser("show", help="Show the fields of a service.").add_argument("name")
        change = actions.add_parser("set", help="Create or change a service.")
        change.add_argument("name")
        change.add_argument("fields", nargs="*", metavar="FIELD=VALUE")
        change.add_argument("--file", type=Path, help="YAML or JSON file with all fields.")
        delete = actions.add_parser("delete", help="Delete a service.")
        delete.add_argument("name")
        delete.add_argument("--yes", action="store_true", help="Delete it. Its open verifications end.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the action says."""
        try:
            getattr(self, f"_{options['action']}")(options)
        except ConfigurationError as error:
            raise CommandError(service_list.in_lines(error)) from None
        except StoreError as error:
            raise CommandError(f"The database does not answer: {error}.") from None

    def _list(self, options: dict[str, Any]) -> None:
        entries = listing.entries(service_list.services_of(site_config()))
        if options["as_json"]:
            self.stdout.write(json.dumps([entry.document() for entry in entries], indent=2, ensure_ascii=False))
            return
        self.stdout.write(in_columns([service_list.HEAD, *map(service_list.row, entries)]))
        for entry in entries:
            for field, problem in entry.mistakes.items():
                self.stdout.write(f"{entry.name}: {field}: {problem}")

    def _show(self, options: dict[str, Any]) -> None:
        entry = service_list.entry_of(service_list.services_of(site_config()), options["name"])
        self.stdout.write(json.dumps(entry.document(), indent=2, ensure_ascii=False))

    def _set(self, options: dict[str, Any]) -> None:
        if not options["fields"] and options["file"] is None:
            raise CommandError("name a file, or fields like title='Example Shop'")
        name = options["name"]
        service_list.change(service_list.services_of(site_config()), name, options["file"], options["fields"])
        self.stdout.write(f"{name} is saved. It is in force in every process within five seconds.")

    def _delete(self, options: dict[str, Any]) -> None:
        if not options["yes"]:
            self.stdout.write(f"Nothing was deleted. To delete {options['name']}: add --yes")
            return
        service_list.delete(service_list.services_of(site_config()), options["name"])
        self.stdout.write(f"{options['name']} is deleted.")
