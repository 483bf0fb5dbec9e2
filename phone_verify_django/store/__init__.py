"""The store in Django's database: the operations of every store, over the tables of our models.

A step on SQLite takes the write lock before it reads, independent of the site's `transaction_mode`. The writes of a
step are kept even if the caller's transaction is rolled back: inside an atomic block of the site the step uses a second
connection to the same database, which the thread keeps as long as its first one.
"""

from __future__ import annotations

from datetime import timedelta

from phone_verify.stores.base import RETENTION
from phone_verify.stores.rows.verbs import RowStore

from .second_connection import Setup
from .transactions import ConnectionTransactionRunner, in_worker, is_worker, joining_on_sqlite

__all__ = ["OrmStore", "in_worker", "is_worker", "joining_on_sqlite"]


class OrmStore(RowStore):
    """A store in the database with this alias. Records are kept for `keep` after they expire.

    `connection_setup` is called with a connection before each attempt of a step, to configure it like
    the connection of the request: with the second one inside a block, with that of a worker thread, and
    with that of the request if the server has closed it and the store opens it again.
    """

    def __init__(
        self, using: str = "default", *, keep: timedelta = RETENTION, connection_setup: Setup | None = None
    ) -> None:
        self._using = using
        super().__init__(ConnectionTransactionRunner(using, connection_setup), keep)

    def __repr__(self) -> str:
        return f"<OrmStore on {self._using!r}>"
