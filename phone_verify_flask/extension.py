"""The `PhoneVerify` extension, for one application or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from flask import Flask
from werkzeug.local import LocalProxy

from phone_verify import PhoneNumber
from phone_verify.before_send import Hook
from phone_verify.errors import ConfigurationError
from phone_verify.verifier.blocking import Verifier

from . import blueprint, conf, recent, session_length, sessions, signals, store
from .account_hooks import AccountHooks
from .commands import group
from .state import KEY, AppState, current_state
from .template_helpers import template_context

_UserForPhone = TypeVar("_UserForPhone", bound=Callable[..., Any])
_SetPhone = TypeVar("_SetPhone", bound=Callable[[Any, Any], object])
_WithoutOld = TypeVar("_WithoutOld", bound=Callable[[Any, Any], object])
_UsersAfter = TypeVar("_UsersAfter", bound=Callable[[Any], Iterable[Any]])
_AdoptPhone = TypeVar("_AdoptPhone", bound=Callable[[Any, PhoneNumber], object])
_UsersByNumber = TypeVar("_UsersByNumber", bound=Callable[[Sequence[str]], Iterable[Any]])
_TokenForUser = TypeVar("_TokenForUser", bound=Callable[[Any, Any], object])
_UserForToken = TypeVar("_UserForToken", bound=Callable[[str], object])
_BeforeSend = TypeVar("_BeforeSend", bound=Hook)
_PhoneForUser = TypeVar("_PhoneForUser", bound=Callable[[Any], object])

#: The verifier of the current application.
current_verifier = cast("Verifier", LocalProxy(lambda: current_state().site.verifier))


class PhoneVerify:
    """Login by phone at `url_prefix`, for the users of Flask-Login.

    Pass the application, or call `init_app` in an application factory. All state is kept on the application, so one
    extension may serve several.
    """

    def __init__(
        self,
        app: Flask | None = None,
        url_prefix: str = "/phone",
        *,
        subdomain: str | None = None,
        db: Any = None,
    ) -> None:
        self._url_prefix, self._subdomain, self._db = url_prefix, subdomain, db
        self._accounts = AccountHooks()
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        url_prefix: str | None = None,
        *,
        subdomain: str | None = None,
        db: Any = None,
        transport: Any = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Read the application's settings and mount the pages and the API on it.

        `db` is the site's Flask-SQLAlchemy: the store is then in its database, and our tables are in its metadata and
        migrations. PHONE_VERIFY_STORE, if set, names another store. Raises `ConfigurationError` for an invalid
        setting. `transport` and `clock` are for tests: a `phone_verify.testing` FakeTransport instead of the network,
        a ManualClock instead of the store's clock.
        """
        prefix = _prefix(self._url_prefix if url_prefix is None else url_prefix)
        if KEY in app.extensions:
            raise ConfigurationError("this application already has PhoneVerify: create it once, or call init_app once")
        listeners = [signals.listener(app)]
        database = store.bound_to(app, db) if (db := self._db if db is None else db) is not None else None
        given = conf.read(app, prefix, database, self._accounts)
        subdomain = self._subdomain if subdomain is None else subdomain
        site = conf.make_site(given, listeners=listeners, transport=transport, clock=clock)
        in_use = database if conf.is_default_store(given) else None
        app.extensions[KEY] = AppState(site, given, self._accounts, prefix, subdomain, in_use)
        recent.watch(app)
        sessions.watch(app)
        session_length.watch(app)
        blueprint.register(app, prefix, subdomain)
        app.context_processor(template_context)
        app.cli.add_command(group)

    def user_for_phone(self, find_or_make: _UserForPhone) -> _UserForPhone:
        """Register the function that finds or creates the user of a verified number.

        It receives the `Redeemed`: `redeemed.phone` is the `PhoneNumber`, `channel`, `assurance` and `short` describe
        how it was verified, and `by_test_number` marks a test number. It returns the user, or the user and whether the
        account is new; None refuses. Inactive users are refused as well, and so are users with rights over other users
        unless `PHONE_VERIFY_STAFF_SIGN_IN_BY_PHONE` is on. Concurrent requests may have the same new number: resolve
        the conflict with a unique column.
        """
        self._accounts.user_for_phone = find_or_make
        return find_or_make

    def set_phone_for_user(self, set_phone: _SetPhone) -> _SetPhone:
        """Register the function that assigns a verified number to a user: it receives user and `Redeemed`.

        It returns False if the number belongs to another user, which a unique column should decide, else True.
        """
        self._accounts.set_phone = set_phone
        return set_phone

    def may_change_without_old(self, may_change: _WithoutOld) -> _WithoutOld:
        """Register the function that decides for users who lost their number: it receives user and `Redeemed`.

        It is called after the new number was verified, if the current one was not verified within the last 15
        minutes; without it such a change is refused. Return True only after your own check, for example by your
        support: anyone who knows the password could otherwise take over the phone login.
        """
        self._accounts.may_change_without_old = may_change
        return may_change

    def before_send(self, hook: _BeforeSend) -> _BeforeSend:
        """Register the function that decides before anything is sent: it receives `SendOrder` and `ClientFacts`.

        It returns None, or a `Refusal` with a text for the visitor. The setting PHONE_VERIFY_BEFORE_SEND takes
        precedence. See docs/before_send.md.
        """
        self._accounts.before_send = hook
        return hook

    def end_other_sessions(self, user: Any) -> None:
        """End every session of this user except that of the current request, including remember cookies.

        Call it where your code removes a number from a user. Changes through this library do it automatically.
        """
        sessions.end_others(user)

    def users_with_phones(self, users_after: _UsersAfter) -> _UsersAfter:
        """Register the function that returns the next users who have a number, in any spelling.

        It receives the last user it returned, or None at first; it returns some hundred users in a fixed order, and
        none at the end. `flask phone-verify adopt` and the doctor call it.
        """
        self._accounts.users_with_phones = users_after
        return users_after

    def adopt_phone(self, adopt: _AdoptPhone) -> _AdoptPhone:
        """Register the function that stores a number that the site trusts: it receives user and `PhoneNumber`.

        It returns False if the number belongs to another user, else True. `flask phone-verify adopt --trust` calls it
        for users whose number is not stored in E.164.
        """
        self._accounts.adopt_phone = adopt
        return adopt

    def users_by_number(self, find: _UsersByNumber) -> _UsersByNumber:
        """Register the function that returns the users whose stored number is one of the texts it receives.

        The texts are the usual spellings of one number. If none of these users has it in E.164, `user_for_phone` is
        not called and the sign-in is refused, since it would create a second account.
        """
        self._accounts.users_by_number = find
        return find

    def token_for_user(self, make_token: _TokenForUser) -> _TokenForUser:
        """Register the function that makes the site's own token: it receives user and `Redeemed`.

        It returns a text, or a mapping of texts and numbers like `{"access": …, "refresh": …}`. `POST v1/token`
        exchanges a proof for it, by the rules of sign-in, and opens no session. Without it that call answers 404.
        """
        self._accounts.token_for_user = make_token
        return make_token

    def user_for_token(self, find: _UserForToken) -> _UserForToken:
        """Register the function that returns the user of a token in the header `Authorization`, or None to refuse it.

        It verifies signature, expiry and audience. It may return the user and the time of the sign-in, in seconds
        since 1970 as in the claim `auth_time`: a user without a number can add one within 15 minutes of it. The API
        then judges a request by its token alone, and reads no session. Without this function it reads no token.
        """
        self._accounts.user_for_token = find
        return find

    def phone_for_user(self, phone_of: _PhoneForUser) -> _PhoneForUser:
        """Register the function that returns a user's number in E.164, or None. Default: the attribute `phone`."""
        self._accounts.phone_for_user = phone_of
        return phone_of


def _prefix(text: str) -> str:
    prefix = text.rstrip("/")
    if (prefix and not prefix.startswith("/")) or "<" in prefix or "//" in prefix:
        raise ConfigurationError(f"url_prefix: write a fixed path like /phone, not {text!r}")
    return prefix
