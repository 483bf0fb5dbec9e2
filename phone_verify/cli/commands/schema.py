"""`phone-verify schema`."""

from __future__ import annotations

import click

from ...config.ledger import SQL_SCHEMES
from ...config.settings import Settings
from ..output import Mark, examples, say
from ..site_loader import SiteTarget, of_a_site, reported


@click.command(
    short_help="Create or migrate the tables of the SQL store and the ledger.",
    epilog=examples("phone-verify schema", "phone-verify schema --flask app:create_app"),
)
@of_a_site
def schema(site: SiteTarget) -> None:
    """Create or migrate the tables of the SQL store and the ledger.

    Applies to the databases in PHONE_VERIFY_STORE and PHONE_VERIFY_LEDGER. For orm:, use Django's `manage.py
    migrate`.
    """
    with reported():
        given = site.config()
        settings = Settings.from_mapping(given.values, given.environ)
        store, ledger = settings.store or given.default_store(), settings.ledger or ""
        scheme, in_sql = store.partition(":")[0], ledger.partition(":")[0] in SQL_SCHEMES
        if scheme in SQL_SCHEMES:
            from ...stores.sql.schema import upgrade

            _report("", *upgrade(store))
        elif not in_sql and scheme == "orm":
            raise click.ClickException("PHONE_VERIFY_STORE is orm:, Django's database. Run `manage.py migrate`.")
        elif not in_sql:
            raise click.ClickException(f"PHONE_VERIFY_STORE is {scheme}:, which has no tables. Set an SQL URL.")
        if in_sql:
            from ...database import schema as of_ledger

            _report(" of the ledger", *of_ledger.upgrade(ledger))


def _report(whose: str, before: str | None, now: str) -> None:
    if before is None:
        say(f"Created the tables{whose}, revision {now}.", Mark.OK)
    elif before < now:
        say(f"Migrated the tables{whose} from revision {before} to {now}.", Mark.OK)
    else:
        say(f"The tables{whose} are up to date, revision {before}.", Mark.OK)
