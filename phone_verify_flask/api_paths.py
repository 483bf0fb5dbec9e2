"""The URL converter of the API's paths."""

from __future__ import annotations

from werkzeug.routing import BaseConverter


class RestConverter(BaseConverter):
    """Matches any rest of a path, including slashes and nothing, so that every refusal is the API's own."""

    regex = r"[\s\S]*"
    part_isolating = False
    weight = 1000
