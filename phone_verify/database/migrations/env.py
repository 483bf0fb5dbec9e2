"""Run by Alembic; `schema.py` supplies the connection."""

from __future__ import annotations

from alembic import context

from phone_verify.database.all_tables import metadata
from phone_verify.database.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
