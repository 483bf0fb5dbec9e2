"""Opens what is kept in Django's database, for `PHONE_VERIFY_LEDGER=orm:`.

`setup` configures the second connection of steps that are kept without the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections
from django.db.models import Model

from phone_verify.errors import ConfigurationError, quoted

from .. import app_settings
from ..primary import alias_of

if TYPE_CHECKING:
    from phone_verify.keys.base import KeyStore
    from phone_verify.ledger.base import Ledger
    from phone_verify.reports.base import Aggregates
    from phone_verify.services.base import ServiceRows
    from phone_verify.webhooks_out.base import Outbox
    from phone_verify.webhooks_out.endpoints import Endpoints
    from phone_verify.work.leases import JobLeases
    from phone_verify.work.sends import SendQueue

    from ..store.second_connection import Setup


def ledger_alias() -> str | None:
    """Return the alias of the database that holds the rows of this app; None if the site does not use them.

    Raises `ImproperlyConfigured` for invalid settings.
    """
    scheme, _, alias = (app_settings.read().ledger or "").partition(":")
    return alias or alias_of(apps.get_model("phone_verify_services", "AccessKeyRow")) if scheme == "orm" else None


def open_ledger(url: str, endpoints: Endpoints, setup: Setup | None) -> Ledger:
    """Return the ledger in the database of this URL, which tells these endpoints. Raises `ConfigurationError`."""
    _require_app()
    # Its models exist only if it is installed.
    from .ledger_store import OrmLedger
    from .models import Attempt

    return OrmLedger(_alias(url, Attempt), endpoints, connection_setup=setup)


def open_services(url: str) -> ServiceRows:
    """Return the services in the database of this URL. Raises `ConfigurationError`."""
    _require_app()
    from .models import ServiceRow
    from .services_store import OrmServiceRows

    return OrmServiceRows(_alias(url, ServiceRow))


def open_keys(url: str) -> KeyStore:
    """Return the access keys in the database of this URL. Raises `ConfigurationError`."""
    _require_app()
    from .keys_store import OrmKeyStore
    from .models import AccessKeyRow

    return OrmKeyStore(_alias(url, AccessKeyRow))


def open_aggregates(url: str, setup: Setup | None) -> Aggregates:
    """Return the aggregates in the database of this URL. Raises `ConfigurationError`."""
    _require_app()
    from .aggregates_store import OrmAggregates
    from .models import Attempt

    return OrmAggregates(_alias(url, Attempt), connection_setup=setup)


def open_outbox(url: str) -> Outbox:
    """Return the messages of outgoing webhooks in the database of this URL. Raises `ConfigurationError`."""
    _require_app()
    from .models import OutboxMessage
    from .outbox_store import OrmOutbox

    return OrmOutbox(_alias(url, OutboxMessage))


def open_work(url: str, setup: Setup | None) -> tuple[SendQueue, JobLeases]:
    """Return the orders that wait and the leases of jobs in the database of this URL. Raises `ConfigurationError`."""
    _require_app()
    from .models import SendRow
    from .work_store import work_on

    return work_on(_alias(url, SendRow), connection_setup=setup)


def _require_app() -> None:
    if not apps.is_installed("phone_verify_django.services"):
        raise ConfigurationError(
            "PHONE_VERIFY_LEDGER is orm:, but phone_verify_django.services is not in INSTALLED_APPS",
            "Add it, and run manage.py migrate.",
        )


def _alias(url: str, model: type[Model]) -> str:
    alias = url.partition(":")[2] or alias_of(model)
    if alias not in connections:
        raise ConfigurationError(
            f"PHONE_VERIFY_LEDGER: no database {quoted(alias)} in DATABASES",
            "Set PHONE_VERIFY_LEDGER=orm: for the database of the site's routers, or orm: and an alias of DATABASES.",
        )
    return alias
