"""Canned responses instead of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from ..exchange import Exchange, HttpRequest, HttpResponse, Notice, RecallToken, Request, SiteCall, StoreToken
from ..exchange import T as Result

Answer = HttpResponse | Exception | Callable[[HttpRequest], HttpResponse]


class FakeTransport:
    """Returns prepared responses in order and records the requests. An exception in the list is
    raised.
    """

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.notices: list[Notice] = []

    async def send(self, request: Request, timeout: float) -> HttpResponse:
        """Return the next prepared response; a notice is recorded and gets an empty 200."""
        if isinstance(request, Notice):
            self.notices.append(request)
            return HttpResponse(200)
        assert isinstance(request, HttpRequest), "this transport has responses for HTTP requests only"
        self.requests.append(request.signed(datetime.now(UTC)))
        if not self.answers:
            raise AssertionError(f"no response left for {request.method} to {request.host}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, HttpResponse) else answer(request)


def converse(exchange: Exchange[Result], *answers: HttpResponse) -> tuple[Result, list[Request]]:
    """Run a driver's exchange against these responses; return its result and its requests."""
    asked: list[Request] = []
    remaining = list(answers)
    try:
        request = next(exchange)
        while True:
            if isinstance(request, RecallToken | StoreToken):
                request = exchange.send(HttpResponse(404 if isinstance(request, RecallToken) else 200))
                continue
            asked.append(request)
            if isinstance(request, Notice | SiteCall):
                request = exchange.send(HttpResponse(200))
            elif remaining:
                request = exchange.send(remaining.pop(0))
            else:
                raise AssertionError(f"the driver sent more requests than there are responses: {request!r}")
    except StopIteration as stop:
        return stop.value, asked
