"""The engine of the database that `PHONE_VERIFY_LEDGER` names."""

from __future__ import annotations

import sqlalchemy as sa

from ..errors import ConfigurationError
from ..stores.sql.engine import engine_of


def engine_for(url: str) -> sa.Engine:
    """Create the engine of this URL. Raises `ConfigurationError`, which names the setting."""
    try:
        return engine_of(url)
    except ConfigurationError as error:
        problem, advice = (
            text.replace("PHONE_VERIFY_STORE", "PHONE_VERIFY_LEDGER") for text in (error.problem, error.advice)
        )
        raise ConfigurationError(problem, advice) from error.__cause__
