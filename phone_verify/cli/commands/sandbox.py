"""`phone-verify sandbox`."""

from __future__ import annotations

import errno
import logging
import os
from typing import TextIO

import click

from ..output import Mark, examples, say
from .extras import needed


@click.command(
    short_help="Run a simulated phone network.",
    epilog=examples("phone-verify sandbox", "phone-verify sandbox --port 0 --scenario faults.yaml"),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option(
    "--port",
    default=8025,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the handsets page and the providers; 0 takes a free one.",
)
@click.option("--scenario", type=click.File(encoding="utf-8"), help="Scenario file to load.")
def sandbox(host: str, port: int, scenario: TextIO | None) -> None:
    """Run a simulated phone network with virtual handsets."""
    with needed("sandbox"):
        from ...sandbox import SandboxServer, ScenarioError, load, read_scenario
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("phone_verify.sandbox").setLevel(logging.INFO)
    try:
        server = SandboxServer(host=host, port=port)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        why = f"port {port} is in use" if in_use else f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
        raise click.ClickException(f"{why}; choose another one with --port") from None
    if scenario is not None:
        try:
            load(server.sandbox, read_scenario(scenario.read()))
        except ScenarioError as error:
            raise click.ClickException(f"invalid scenario {scenario.name}:\n{error}") from None
        except UnicodeDecodeError:
            raise click.ClickException(f"invalid scenario {scenario.name}: not UTF-8") from None
    say(f"Handsets    {server.url}/", Mark.OK)
    say(f"  For a site  PHONE_VERIFY_SMS={server.dsn}")
    say("  Ctrl-C stops it")
    server.run()
