"""Notes in the site's session: the verifications it started, and what its user has verified.

The framework's session is passed in as a mapping. Numbers are kept as tags (`Verifier.tag`). A
session in a cookie can be replayed: an old copy holds old times and ids, so an attacker gains
nothing from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import field
from datetime import timedelta
from typing import Any, Protocol

from ..model import is_id, value_class
from . import session_time

#: A browser has at most this many verifications in progress.
_MOST = 5
#: The key of the pages' messages (`web.messages`), which can hold a number that was typed.
MESSAGES = "messages"


class Session(Protocol):
    """The part of a framework's session that is used here."""

    def get(self, key: str, default: Any, /) -> Any: ...
    def pop(self, key: str, default: Any, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...


def with_id(noted: Sequence[str], id: str) -> Sequence[str]:
    """Return the noted ids with this one in front, at most five."""
    return [id, *(other for other in noted if other != id)][:_MOST]


def without_id(noted: Sequence[str], id: str) -> Sequence[str]:
    """Return the noted ids without this one."""
    return [other for other in noted if other != id]


@value_class
class Notes:
    """The notes in one session; all keys start with `prefix`."""

    session: Session = field(repr=False)
    prefix: str = "phone_verify_"

    @property
    def started(self) -> Sequence[str]:
        """The ids of the verifications that this session started, newest first."""
        kept = self.session.get(f"{self.prefix}started", None)
        return [id for id in kept if isinstance(id, str) and is_id(id)] if isinstance(kept, list) else []

    @property
    def not_entered(self) -> Sequence[str]:
        """The ids of those started verifications whose number was not entered in this session."""
        kept = self.session.get(f"{self.prefix}not_entered", None)
        return [id for id in self.started if id in kept] if isinstance(kept, list) else []

    def keep_started(self, ids: Sequence[str] | None, not_entered: Sequence[str] | None = None) -> None:
        """Replace the ids of started verifications, and of those whose number was not entered.

        None leaves them unchanged.
        """
        if ids is None and not_entered is None:
            return  # reading the session could cost a query
        hidden = self.not_entered if not_entered is None else not_entered
        if ids is not None and list(ids) != self.started:
            self._keep("started", ids)
        left = [id for id in self.started if id in hidden]
        if left != self.session.get(f"{self.prefix}not_entered", []):
            self._keep("not_entered", left)

    def _keep(self, name: str, ids: Sequence[str]) -> None:
        if ids:
            self.session[f"{self.prefix}{name}"] = list(ids)
        else:
            self.session.pop(f"{self.prefix}{name}", None)

    def sign_in(self, user_id: str, numbers: Iterable[str], *, recent: bool = True) -> None:
        """Note a sign-in by any method, and drop what the session started before.

        Earlier verifications are kept only if the same user signs in again, as for a second factor.
        `numbers` are the tags of the numbers that the user has now; only they, and a number that
        signs this session in, count in it. Without `recent` the user was only remembered, and has
        not just signed in.
        """
        checks = ("checked_at", "checked_number")
        same = recent and self.session.get(f"{self.prefix}user", None) == user_id
        kept = {name: self.session.get(f"{self.prefix}{name}", None) for name in checks if same}
        self.sign_out()
        for name, value in kept.items():
            if value is not None:
                self.session[f"{self.prefix}{name}"] = value
        self.session[f"{self.prefix}user"] = user_id
        if recent:
            self.session[f"{self.prefix}signed_in_at"] = session_time.now()
        self.session[f"{self.prefix}numbers"] = list(numbers)

    def sign_out(self) -> None:
        """Drop every note."""
        for name in (
            "started",
            "not_entered",
            "user",
            "signed_in_at",
            "numbers",
            "checked_at",
            "checked_number",
            MESSAGES,
        ):
            self.session.pop(f"{self.prefix}{name}", None)

    @property
    def signed_in_for(self) -> timedelta | None:
        """The time since the session's user signed in; None if unknown."""
        return session_time.age_of(self.session.get(f"{self.prefix}signed_in_at", None))

    def signed_in_by(self, number: str, started: Sequence[str] = ()) -> None:
        """Note that the number with this tag has just signed the session in.

        `started` keeps the verification that did it, so that a repeated request for it gets its
        response.
        """
        self.session[f"{self.prefix}numbers"] = [number, *(other for other in self._numbers if other != number)]
        self.keep_started(started)
        self.check(number)

    def counts(self, number: str) -> bool:
        """Return whether a verification of the number with this tag counts in this session."""
        return number in self._numbers

    def check(self, number: str) -> None:
        """Note a verification of the number with this tag, if it counts in this session."""
        if self.counts(number):
            self.session[f"{self.prefix}checked_at"] = session_time.now()
            self.session[f"{self.prefix}checked_number"] = number

    @property
    def last_phone_check(self) -> timedelta | None:
        """The time since the session's user last verified a number that counts; None if never."""
        return session_time.age_of(self.session.get(f"{self.prefix}checked_at", None))

    def proved_for(self, numbers: Collection[str]) -> timedelta | None:
        """Return the time since the user last verified one of the numbers with these tags.

        None if never.
        """
        return self.last_phone_check if self.session.get(f"{self.prefix}checked_number", None) in numbers else None

    @property
    def generation(self) -> int:
        """The user's session generation when this session signed in; 0 if it holds none."""
        kept = self.session.get(f"{self.prefix}generation", None)
        return kept if type(kept) is int else 0

    def keep_generation(self, generation: int) -> None:
        """Store this generation in the session."""
        if generation != self.generation:
            self.session[f"{self.prefix}generation"] = generation

    @property
    def _numbers(self) -> Sequence[str]:
        kept = self.session.get(f"{self.prefix}numbers", None)
        return kept if isinstance(kept, list) else []
