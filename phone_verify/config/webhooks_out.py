"""The delivery of the webhooks of services."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..webhooks_out.base import Outbox
from ..webhooks_out.delivery import Deliverer
from ..webhooks_out.endpoints import Endpoints


def open_deliverer(url: str, own: Mapping[str, Callable[[str], Outbox]], endpoints: Endpoints) -> Deliverer:
    """Return the delivery of the messages in the database that `PHONE_VERIFY_LEDGER` names."""
    scheme = url.partition(":")[0]
    return Deliverer(own[scheme](url) if scheme in own else _open_sql(url), endpoints)


def _open_sql(url: str) -> Outbox:
    from ..database.connection import Database
    from ..database.outbox import SqlOutbox

    return SqlOutbox(Database.from_url(url))
