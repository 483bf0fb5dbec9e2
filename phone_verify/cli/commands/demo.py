"""`phone-verify demo`."""

from __future__ import annotations

import click

from ..output import examples
from .extras import needed

_PORT = click.IntRange(1, 65535)
_DEFAULTS = {"sandbox": 8025, "django": 8000, "flask": 8001}
_HELP = "Default: {}, or the next free port."


@click.command(
    short_help="Run both example sites with virtual handsets.",
    epilog=examples(
        "phone-verify demo", "phone-verify demo --no-browser --port 9025", "phone-verify demo --provider sinch"
    ),
)
@click.option("--port", type=_PORT, help=f"Port of the handsets page. {_HELP.format(_DEFAULTS['sandbox'])}")
@click.option("--django-port", type=_PORT, help=_HELP.format(_DEFAULTS["django"]))
@click.option("--flask-port", type=_PORT, help=_HELP.format(_DEFAULTS["flask"]))
@click.option(
    "--provider",
    type=click.Choice(["sinch", "telegram-gateway"]),
    help="Let both sites use this provider's own driver and protocol on its channels.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@click.option("--verbose", is_flag=True, help="Print the log of both sites.")
def demo(
    port: int | None,
    django_port: int | None,
    flask_port: int | None,
    provider: str | None,
    browser: bool,
    verbose: bool,
) -> None:
    """Try it: run both example sites with virtual handsets."""
    with needed("demo"):
        from ..demo import Demo, DemoError, StopSignals, boxed
    try:
        ports = _ports({"sandbox": port, "django": django_port, "flask": flask_port})
        sites = {name: ports[name] for name in ("django", "flask")}
        with (
            StopSignals() as signals,
            Demo(
                ports["sandbox"], sites, say=click.echo, check=signals.check, verbose=verbose, provider=provider
            ) as running,
        ):
            click.echo(boxed(f"Open {running.url}", "Ctrl-C stops everything and deletes its data"))
            if browser:
                click.launch(running.url)
            running.wait()
    except DemoError as error:
        raise click.ClickException(str(error)) from None


def _ports(wanted: dict[str, int | None]) -> dict[str, int]:
    """Return the port of each server: the given one, else its default or the next free port."""
    from ..demo import next_free_port

    ports = {name: port for name, port in wanted.items() if port is not None}
    for name, default in _DEFAULTS.items():
        if name not in ports:
            ports[name] = next_free_port(default, ports.values())
            if ports[name] != default:
                click.echo(f"Port {default} is in use; using {ports[name]} for {name}.")
    return ports
