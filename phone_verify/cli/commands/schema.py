"""`phone-verify schema`."""

from __future__ import annotations

import click

from ...config.settings import Settings
from ...errors import ConfigurationError, StoreError
from ..output import Mark, examples, say
from ..site_loader import SiteTarget, of_a_site


@click.command(
    short_help="Create or migrate the SQL store's tables.",
    epilog=examples("phone-verify schema", "phone-verify schema --flask app:create_app"),
)
@of_a_site
def schema(site: SiteTarget) -> None:
    """Create or migrate the SQL store's tables.

    Applies to the store in PHONE_VERIFY_STORE. For orm:, use Django's `manage.py migrate`.
    """
    try:
        if site.given is None:
            raise click.ClickException(site.faults[0].says)
        store = Settings.from_mapping(site.given.values, site.given.environ).store or site.given.default_store()
        scheme = store.partition(":")[0]
        if scheme == "orm":
            raise click.ClickException("PHONE_VERIFY_STORE is orm:, Django's database. Run `manage.py migrate`.")
        if scheme not in ("sqlite", "postgresql", "mysql"):
            raise click.ClickException(f"PHONE_VERIFY_STORE is {scheme}:, which has no tables. Set an SQL URL.")
        from ...stores.sql.schema import upgrade

        before, now = upgrade(store)
    except (ConfigurationError, StoreError) as error:
        raise click.ClickException(str(error)) from None
    if before is None:
        say(f"Created the tables, revision {now}.", Mark.OK)
    elif before < now:
        say(f"Migrated the tables from revision {before} to {now}.", Mark.OK)
    else:
        say(f"The tables are up to date, revision {before}.", Mark.OK)
