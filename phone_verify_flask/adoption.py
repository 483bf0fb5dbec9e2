"""Existing users whose number is stored in another spelling than E.164: found, reported and adopted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app

from phone_verify import PhoneNumber
from phone_verify.adoption.duplicates import Duplicates
from phone_verify.adoption.report import Result
from phone_verify.adoption.spellings import read_stored, regions_of, spellings
from phone_verify.adoption.user_names import user_name
from phone_verify.errors import ConfigurationError

from .account_hooks import AccountHooks
from .state import current_state

log = logging.getLogger("phone_verify")

#: Users with one number who are named in the log.
_MOST_NAMED = 5

MISSING = (
    "this command requires a callback: write a function that takes a user or None and returns the next users who have "
    "a number, under @phone_verify.users_with_phones"
)
MISSING_ADOPT = (
    "--trust requires a callback: write a function that takes a user and a PhoneNumber, stores it and returns True, or "
    "False if it belongs to another user, under @phone_verify.adopt_phone"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A user, the stored text, and the number that it means, if any."""

    user: Any
    text: str
    phone: PhoneNumber | None

    @property
    def is_e164(self) -> bool:
        """Whether the number is stored as `user_for_phone` looks it up."""
        return self.phone is not None and self.text == self.phone.e164


def site_regions(region: str | None = None) -> Sequence[str | None]:
    """Return the regions whose national form users may have stored; `region` replaces the setting."""
    policy = current_state().site.verifier.policy
    return regions_of(region or policy.region, policy.allowed_regions)


def entries(accounts: AccountHooks, regions: Sequence[str | None]) -> Iterator[Sequence[Entry]]:
    """Yield the users who have a number, in the pages of the site's callback. Raises `ConfigurationError`."""
    if accounts.users_with_phones is None:
        raise ConfigurationError(MISSING)
    last, first_id = None, None
    while page := list(current_app.ensure_sync(accounts.users_with_phones)(last)):
        if page[0].get_id() == first_id:
            raise ConfigurationError("users_with_phones returned the same users again: return those after the argument")
        last, first_id = page[-1], page[0].get_id()
        found = [(user, _text(accounts, user)) for user in page]
        yield [Entry(user, text, read_stored(text, regions)) for user, text in found if text]


def decide(entry: Entry, duplicates: Duplicates) -> Result:
    """Return what `adopt` would do with this user. Changes nothing."""
    if entry.phone is None:
        return Result.UNREADABLE
    problem = duplicates.problem(entry.user.get_id(), entry.phone)
    if problem is Result.DUPLICATE:
        return problem
    # A number in E.164 that is new since the first pass has been verified meanwhile.
    return Result.VERIFIED if entry.is_e164 else problem or Result.ADOPTED


def adopt(accounts: AccountHooks, entry: Entry, duplicates: Duplicates) -> Result:
    """Let the site store this user's number in E.164, if it is this user's alone and not changed meanwhile."""
    result = decide(entry, duplicates)
    if result is not Result.ADOPTED or accounts.adopt_phone is None:
        return result
    if _text(accounts, entry.user) != entry.text:
        return Result.CHANGED
    return result if current_app.ensure_sync(accounts.adopt_phone)(entry.user, entry.phone) else Result.TAKEN


def would_duplicate(accounts: AccountHooks, phone: PhoneNumber) -> bool:
    """Return whether users have this number in another spelling only, so that none must be created for it."""
    if accounts.users_by_number is None:
        return False
    texts, regions = list(spellings(phone)), site_regions()
    users = list(current_app.ensure_sync(accounts.users_by_number)(texts))
    held = [Entry(user, text, read_stored(text, regions)) for user in users if (text := _text(accounts, user))]
    meant = (phone,) if any(regions) else (phone, None)
    held = [entry for entry in held if entry.phone in meant]
    # `user_for_phone` looks for the number in E.164, and for what it was before its country changed it.
    if not held or any(entry.text in phone.forms for entry in held):
        return False
    _log("no user is created", phone, [entry.user.get_id() for entry in held])
    return True


def report_duplicates(accounts: AccountHooks, user: Any, phone: PhoneNumber) -> None:
    """Log if this new user is the second one with this number, in a model of the site's Flask-SQLAlchemy.

    For sites without `users_by_number`. The account exists by then: before, its model is unknown.
    """
    database: Any = current_app.extensions.get("sqlalchemy")
    if database is None or accounts.users_by_number is not None:
        return
    # Loaded only by sites that use it.
    from sqlalchemy import String

    column: Any = getattr(type(user), "phone", None)
    # Not in a type of the site's own, which may refuse to convert the texts.
    if not isinstance(getattr(column, "type", None), String):
        return
    wanted = database.select(type(user)).where(column.in_(list(spellings(phone))[1:])).limit(_MOST_NAMED)
    if ids := [other.get_id() for other in database.session.scalars(wanted) if other is not user]:
        _log("a second account was created", phone, ids)


def _log(what: str, phone: PhoneNumber, ids: Sequence[object]) -> None:
    log.error(
        "%s for %s: %s has this number in another spelling than E.164. Run flask phone-verify adopt --trust. See "
        "docs/flask.md, You already have users with numbers",
        what,
        phone.hint,
        ", ".join(user_name(id, phone) for id in ids[:_MOST_NAMED]),
    )


def _text(accounts: AccountHooks, user: Any) -> str:
    """Return the number as the site stores it; empty for none."""
    return accounts.as_session_user(user).phone or ""
