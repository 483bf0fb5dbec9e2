"""Services, access keys, the ledger and outgoing webhooks in an SQL database, by SQLAlchemy Core.

It may be the database of the verifications or another one: `PHONE_VERIFY_LEDGER` names it. On Django,
`phone_verify_django.services` has the same tables as models.
"""

from __future__ import annotations

from ..errors import missing_extra

try:
    import sqlalchemy as _  # noqa: F401 - imported here so that a missing package is reported early
except ImportError as error:
    raise missing_extra("PHONE_VERIFY_LEDGER", "services", error) from error
