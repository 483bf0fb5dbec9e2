"""The tables."""

from __future__ import annotations

from alembic import op

from phone_verify.database.all_tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Until the first release, so that a new table needs no second text of its columns.
    metadata.create_all(op.get_bind())
