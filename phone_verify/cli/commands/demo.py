"""`phone-verify demo`."""

from __future__ import annotations

import click

from ..output import examples
from .extras import needed


@click.command(
    short_help="Run both example sites with virtual handsets.",
    epilog=examples("phone-verify demo", "phone-verify demo --no-browser --port 9025"),
)
@click.option(
    "--port", default=8025, show_default=True, type=click.IntRange(1, 65535), help="Port of the handsets page."
)
@click.option(
    "--django-port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port of the Django site."
)
@click.option(
    "--flask-port", default=8001, show_default=True, type=click.IntRange(1, 65535), help="Port of the Flask site."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
def demo(port: int, django_port: int, flask_port: int, browser: bool) -> None:
    """Try it: run both example sites with virtual handsets."""
    with needed("demo"):
        from ..demo import Demo, DemoError, StopSignals
    sites = {"django": django_port, "flask": flask_port}
    try:
        with StopSignals() as signals, Demo(port, sites, say=click.echo, check=signals.check) as running:
            click.echo(f"\nOpen {running.url}\n(Ctrl-C stops everything and deletes its data)")
            if browser:
                click.launch(running.url)
            running.wait()
    except DemoError as error:
        raise click.ClickException(str(error)) from None
