"""Keeps providers' tokens in memory for their lifetime, so that an order does not request a new one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from ..exchange import HttpResponse, RecallToken, StoreToken

#: A token that expires while its request is under way would only be refused.
_MARGIN_SECONDS = 30.0


class TokenCache:
    """The tokens of all drivers of one process. Threads may share it: each step is one dictionary operation."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}

    def answer(self, driver: str, request: RecallToken | StoreToken) -> HttpResponse:
        """Return the kept token of this driver as a response, or keep one."""
        key = driver, request.name
        if isinstance(request, StoreToken):
            self._tokens[key] = request.token, self._ticks() + request.lifetime.total_seconds() - _MARGIN_SECONDS
            return HttpResponse(HTTPStatus.OK)
        token, until = self._tokens.get(key, ("", 0.0))
        if not token or self._ticks() >= until:
            return HttpResponse(HTTPStatus.NOT_FOUND)
        return HttpResponse(HTTPStatus.OK, body=token.encode())
