"""Users and proofs for tests of accounts, without a verification for each.

Sites in separate processes import this module too, and pytest would be a quarter of what they load.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.dispatch import Signal
from django.http import HttpRequest

from phone_verify.model import Assurance, Channel, Redeemed
from phone_verify.phone import PhoneNumber

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def proof(phone: str, purpose: str = "login", *, minutes: int = 0, **rest: Any) -> Redeemed:
    """A proof of this phone, this many minutes after noon, just redeemed; `rest` are other fields of `Redeemed`."""
    at = NOON + timedelta(minutes=minutes)
    usual = Redeemed(PhoneNumber(phone), purpose, "default", Channel.SMS, Assurance.CODE, "id", at)
    return replace(usual, **rest)


def request_of(user: Any = None) -> HttpRequest:
    """A request of this user, or an anonymous one."""
    request = HttpRequest()
    request.session = SessionStore()
    request.user = user if user is not None else AnonymousUser()
    return request


def somebody(name: str, **fields: Any) -> User:
    """A user without a password."""
    return User.objects.create_user(name, **fields)


@contextmanager
def session_steps() -> Iterator[list[str]]:
    """Collect `load` and `save` for each step of sessions in the database."""
    steps: list[str] = []

    def recorded(name: str) -> Any:
        done = getattr(SessionStore, name)

        def step(*args: Any, **more: Any) -> Any:
            steps.append(name)
            return done(*args, **more)

        return mock.patch.object(SessionStore, name, step)

    with recorded("load"), recorded("save"):
        yield steps


@contextmanager
def heard(*signals: Signal) -> Iterator[list[dict[str, Any]]]:
    """Collect the values of these signals, in order."""
    told: list[dict[str, Any]] = []

    def hear(**told_now: Any) -> None:
        told.append(told_now)

    for signal in signals:
        signal.connect(hear)
    try:
        yield told
    finally:
        for signal in signals:
            signal.disconnect(hear)
