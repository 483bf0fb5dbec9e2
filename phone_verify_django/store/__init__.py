"""The store in Django's own database: the verbs of every store in SQL tables, over the tables of our models.

A step is one transaction that first locks the row of the phone; SQLite has no such lock: there a step takes the one
write lock before anything is read, whatever `transaction_mode` the site has set. PostgreSQL, where a round trip costs
more than what it asks, first tries a step in two statements, of which the second writes nothing if another step came
between.

What a step has written stays, even if the caller's transaction is rolled back: inside a site's own atomic block the
step runs over a second connection to the same database, which the thread keeps as long as its first one.
"""

from __future__ import annotations

from datetime import timedelta

from phone_verify.stores.base import RETENTION
from phone_verify.stores.rows.verbs import RowStore

from .second_connection import Setup
from .transactions import ConnectionTurns, joining_on_sqlite

__all__ = ["OrmStore", "joining_on_sqlite"]


class OrmStore(RowStore):
    """A store in one of the site's databases, by its alias. Records are kept for `keep` after their life.

    `connection_setup` is called with the second connection before each attempt of a step inside a
    block: it sets there what the site set on the connection of its request.
    """

    def __init__(
        self, using: str = "default", *, keep: timedelta = RETENTION, connection_setup: Setup | None = None
    ) -> None:
        self._using = using
        turns = ConnectionTurns(using, connection_setup)
        super().__init__(turns, turns.writes, keep)

    def __repr__(self) -> str:
        return f"<OrmStore on {self._using!r}>"
