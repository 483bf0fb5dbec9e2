"""Add a version to a phone's row, by which a step detects a concurrent update."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "phone_verify_phone", sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
