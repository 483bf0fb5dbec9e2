"""Reports each operation of the verifier as an event."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..events.record import UNAVAILABLE, VerificationEvent, collect_provider_use, event_for
from ..phone import PhoneNumber
from .server_code import ServerOperations

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound=ServerOperations)


def operation(
    name: str,
) -> Callable[
    [Callable[Concatenate[V, P], Coroutine[Any, Any, T]]], Callable[Concatenate[V, P], Coroutine[Any, Any, T]]
]:
    """Emit an event with the outcome, the duration, the access key and the time spent on providers."""

    def around(
        flow: Callable[Concatenate[V, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
        @wraps(flow)
        async def wrapper(self: V, /, *args: P.args, **kwargs: P.kwargs) -> T:
            events, ticks = self.events, self.ticks
            if not events.has_listeners:
                return await flow(self, *args, **kwargs)
            phone = args[0] if args and isinstance(args[0], PhoneNumber) else None
            key = str(kwargs.get("access_key") or "") or None
            with events.span(name), collect_provider_use() as use:
                began, record = ticks(), VerificationEvent(name, UNAVAILABLE, phone=phone.hint if phone else None)
                try:
                    result = await flow(self, *args, **kwargs)
                    record = event_for(name, result, phone, self.keyring.tag(phone) if phone else None)
                finally:
                    events.emit(use.added_to(replace(record, seconds=ticks() - began, access_key=key)))
                return result

        return wrapper

    return around
