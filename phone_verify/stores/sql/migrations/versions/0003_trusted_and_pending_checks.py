"""Add to a verification whether a trusted device started it, and how many answers its provider is
checking.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name, kind in (("trusted", sa.SmallInteger), ("pending_checks", sa.Integer)):
        op.add_column("phone_verify_verification", sa.Column(name, kind, nullable=False, server_default=sa.text("0")))
