"""Verifiers that order on some of the channels only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from ..model import Channel
from ..parts import Components

V = TypeVar("V")


class LimitedVerifiers(Generic[V]):
    """Makes each verifier once: as many as sets of channels at most."""

    def __init__(self, parts: Components, make: Callable[[Components], V]) -> None:
        self._parts, self._make = parts, make
        self._made: dict[Sequence[Channel], V] = {}

    def to(self, channels: Sequence[Channel]) -> V:
        """Return the verifier that orders only on these channels, in this order of preference; on none without any.

        The verifications that it starts stay on them, whoever sends again.
        """
        wanted = tuple(channels)
        if wanted not in self._made:
            self._made[wanted] = self._make(self._limited(wanted))
        return self._made[wanted]

    def watched(self, channels: Sequence[Channel], watch: Callable[[Components], Components]) -> V:
        """Return a verifier that orders only on these channels, with the components that `watch` returns."""
        return self._make(watch(self._limited(channels)))

    def _limited(self, channels: Sequence[Channel]) -> Components:
        router = self._parts.router
        return replace(
            self._parts, only=channels, router=router.limited_to(channels, ()) if channels else router.closed()
        )
