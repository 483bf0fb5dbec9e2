"""A verification tells whether a browser began it that had signed in by its phone before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "phone_verify_verification", sa.Column("known", sa.SmallInteger, nullable=False, server_default=sa.text("0"))
    )
