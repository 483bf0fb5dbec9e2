"""The header of HTTP basic authentication."""

from __future__ import annotations

import base64
from collections.abc import Mapping


def basic_auth(user: str, password: str) -> Mapping[str, str]:
    """Return the header for this user and password, in UTF-8."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
