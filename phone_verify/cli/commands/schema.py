"""`phone-verify schema`."""

from __future__ import annotations

import click

from ...config.settings import Settings
from ...errors import ConfigurationError, StoreError
from ..site_loader import SiteTarget, of_a_site


@click.command()
@of_a_site
def schema(site: SiteTarget) -> None:
    """Make the tables of an SQL store, or bring them up to date.

    For the store of PHONE_VERIFY_STORE. The tables of orm: are made by Django's own `manage.py migrate`.
    """
    try:
        if site.given is None:
            raise click.ClickException(site.faults[0].says)
        store = Settings.read(site.given.values, site.given.environ).store or site.given.default_store()
        scheme = store.partition(":")[0]
        if scheme == "orm":
            raise click.ClickException("orm: is Django's own database; its tables are made by `manage.py migrate`")
        if scheme not in ("sqlite", "postgresql", "mysql"):
            raise click.ClickException(f"{scheme}: has no tables; write an SQL store into PHONE_VERIFY_STORE")
        from ...stores.sql.schema import upgrade

        before, now = upgrade(store)
    except (ConfigurationError, StoreError) as error:
        raise click.ClickException(str(error)) from None
    if before is None:
        click.echo(f"The tables are made, in revision {now}.")
    elif before < now:
        click.echo(f"The tables were of revision {before}, and are of {now} now.")
    else:
        click.echo(f"The tables are of revision {before} already.")
