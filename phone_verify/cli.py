"""`phone-verify`: the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Says which extra to install where one is missing."""
    try:
        import click
    except ImportError:
        sys.exit("phone-verify needs click: pip install 'phone-verify[cli]'")

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(package_name="phone-verify")
    def commands() -> None:
        """Verify phone numbers by SMS code, flash call or inbound call."""

    host = click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")

    @commands.command()
    @host
    @click.option("--port", default=8025, show_default=True, type=click.IntRange(0, 65535))
    def sandbox(host: str, port: int) -> None:
        """Run the stand-in for the phone network, with handsets on a page."""
        try:
            from .sandbox import SandboxServer
        except ImportError as error:
            raise click.ClickException(_needs("sandbox", error)) from None
        import logging

        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger("phone_verify.sandbox").setLevel(logging.INFO)
        try:
            server = SandboxServer(host=host, port=port)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"cannot listen on {host}:{port}: {error}; try --port") from None
        click.echo(f"Handsets on {server.url}/\nFor a site: PHONE_VERIFY_SMS={server.dsn} (Ctrl-C stops it)")
        server.run()

    @commands.command()
    @click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535), help="Of the handsets.")
    @click.option("--django-port", default=8000, show_default=True, type=click.IntRange(1, 65535))
    @click.option("--flask-port", default=8001, show_default=True, type=click.IntRange(1, 65535))
    @click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
    def demo(port: int, django_port: int, flask_port: int, browser: bool) -> None:
        """Run the Django and the Flask example site beside a sandbox: sign in without any account anywhere."""
        try:
            from .demo import Demo, DemoError
        except ImportError as error:
            raise click.ClickException(_needs("demo", error)) from None
        try:
            with Demo(port, {"django": django_port, "flask": flask_port}, say=click.echo) as running:
                click.echo(f"\nOpen {running.url}\n(Ctrl-C stops everything; nothing is kept)")
                if browser:
                    click.launch(running.url)
                running.wait()
        except DemoError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            click.echo("Stopped.")

    commands()


def _needs(extra: str, error: ImportError) -> str:
    return f"this command needs more packages ({error.name} is missing): pip install 'phone-verify[{extra}]'"
