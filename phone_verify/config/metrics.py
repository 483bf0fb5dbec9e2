"""Parses the setting of the endpoint for Prometheus."""

from __future__ import annotations

import re

from ..errors import ConfigurationError

#: Fit for a header, and too long to be guessed over the network.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{20,200}", re.ASCII)


def read_metrics_token(text: str | None) -> str:
    """Return the token; empty if it is not set. Raises `ConfigurationError`."""
    if text is not None and not _TOKEN.fullmatch(text):
        raise ConfigurationError(
            "PHONE_VERIFY_METRICS_TOKEN: use 20 or more letters and digits",
            'Set it to the output of: python -c "import secrets; print(secrets.token_urlsafe())"',
        )
    return text or ""
