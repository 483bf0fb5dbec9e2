"""`phone-verify sandbox`."""

from __future__ import annotations

import logging
from typing import TextIO

import click

from .extras import needed


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(0, 65535))
@click.option("--scenario", type=click.File(encoding="utf-8"), help="Scenario file to load.")
def sandbox(host: str, port: int, scenario: TextIO | None) -> None:
    """Run a simulated phone network with virtual handsets."""
    with needed("sandbox"):
        from ...sandbox import SandboxServer, ScenarioError, load, read_scenario
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("phone_verify.sandbox").setLevel(logging.INFO)
    try:
        server = SandboxServer(host=host, port=port)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error}; try --port") from None
    if scenario is not None:
        try:
            load(server.sandbox, read_scenario(scenario.read()))
        except ScenarioError as error:
            raise click.ClickException(f"invalid scenario {scenario.name}:\n{error}") from None
        except UnicodeDecodeError:
            raise click.ClickException(f"invalid scenario {scenario.name}: not UTF-8") from None
    click.echo(f"Handsets on {server.url}/\nFor a site: PHONE_VERIFY_SMS={server.dsn} (Ctrl-C stops it)")
    server.run()
