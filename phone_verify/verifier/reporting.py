"""Reports each operation of the verifier as an event."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..events.record import UNAVAILABLE, ProviderUse, VerificationEvent, facts_of, outcome_of
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
    """Emit an event with the outcome, the duration, the access key and the time spent on providers.

    It is built only if a listener accepts the outcome.
    """

    def around(
        flow: Callable[Concatenate[V, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
        @wraps(flow)
        async def wrapper(self: V, /, *args: P.args, **kwargs: P.kwargs) -> T:
            events, ticks = self.events, self.ticks
            if not events.has_listeners:
                return await flow(self, *args, **kwargs)
            result, outcome = None, UNAVAILABLE
            with events.span(name), ProviderUse() as use:
                began = ticks()
                try:
                    result = await flow(self, *args, **kwargs)
                    outcome = outcome_of(result)
                finally:
                    if events.accepts(name, outcome):
                        phone = args[0] if args and isinstance(args[0], PhoneNumber) else None
                        asked_for = {} if phone is None else {"phone": phone.hint, "tag": self.keyring.tag(phone)}
                        key = str(kwargs.get("access_key") or "") or None
                        facts = {**asked_for, **facts_of(result), **use.facts()}
                        events.emit(VerificationEvent(name, outcome, seconds=ticks() - began, access_key=key, **facts))
                return result

        return wrapper

    return around
