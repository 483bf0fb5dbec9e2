"""Flask-Security-Too: the codes of its forms are judged under our limits, whoever delivers them.

    app.config["SECURITY_SMS_SERVICE"] = "phone-verify"
    Security(app, datastore, totp_cls=PhoneTotp)

Flask-Security makes a code from a secret, sends it, and compares it any number of times. With these two lines a
message carries a code of ours instead, on any channel that ends in a code to type: good once, with few attempts, under
all limits of sends and failures. A code that Flask-Security sends by mail is held as ours are, and the code of an
authenticator app is compared only after its failure was counted.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from hashlib import sha256
from typing import Any

from flask import Flask, g, request, session
from flask_login import current_user

from phone_verify import InvalidPhoneError, PhoneNumber, PhoneVerifyError, StoreError, Verification
from phone_verify.errors import ConfigurationError
from phone_verify.foreign_codes import LENGTH, account, hold, judge
from phone_verify.model import Redeemed
from phone_verify.typed_codes import NOTHING, Begun

from . import begun, rights
from .mounted import mounted

try:
    from flask_security import (
        SmsSenderBaseClass,
        SmsSenderFactory,
        tf_security_token_sent,
        us_security_token_sent,
    )
    from flask_security.proxies import _datastore
    from flask_security.totp import Totp
    from passlib.totp import TokenError  # type: ignore[import-untyped]
except ImportError:
    raise ConfigurationError("The bridge needs Flask-Security-Too: pip install 'phone-verify[security]'") from None

log = logging.getLogger("phone_verify")

SERVICE = "phone-verify"
#: Of everything that comes after another factor: the second factor itself, and setting it up.
SECOND = "second_factor"
#: Of a code sent to the phone that signs in by itself, counted with the codes of our own pages.
FIRST = "login"
#: Of a code by mail or of an app that signs in by itself. Our API takes no proof of it: it says nothing of a phone.
FIRST_ELSEWHERE = "flask_security"

_MAIL = ("email", "mail")
_APP = ("authenticator", "google_authenticator")
#: Kept for a secret that was shown for an app to be set up.
_SHOWN = Begun("app", "")
#: One step of RFC 6238: an app whose clock differs by more is refused.
_STEP = 30


class NotSentError(PhoneVerifyError):
    """No code was sent. Flask-Security then tells the user that it could not send one."""


class PhoneTotp(Totp):
    """For `Security(totp_cls=PhoneTotp)`: every code is judged under our limits."""

    def __init__(self, secrets: Any, issuer: str) -> None:
        super().__init__(secrets, issuer)
        SmsSenderFactory.senders[SERVICE] = PhoneSender
        for signal in (tf_security_token_sent, us_security_token_sent):
            signal.connect(_sent_by_flask_security)

    def generate_totp_password(self, totp_secret: str) -> str:
        """Return the code of this moment. If a message by SMS follows, it carries another."""
        name = _name(totp_secret)
        g.phone_verify_asked = totp_secret, begun.kept(name), begun.kept(_mail(name))
        begun.keep(name, NOTHING)
        begun.forget(_mail(name))
        return super().generate_totp_password(totp_secret)

    def fetch_setup_values(self, totp: str, user: Any) -> dict[str, str]:
        """Return what an authenticator app is set up with."""
        begun.keep(_name(totp), _SHOWN)
        return super().fetch_setup_values(totp, user)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:
        """Return whether this is the code that was sent to this session, or that the user's app shows."""
        name, typed = _name(totp_secret), str(token)
        second = _is_second(totp_secret, user)
        user_id = _user_id(user) if second else ""
        try:
            if begun.kept(_mail(name)) is not None:
                proven = begun.proven(_mail(name), SECOND if second else FIRST_ELSEWHERE, typed, subject=user_id)
                right = isinstance(proven, Redeemed)
            elif begun.kept(name) not in (None, NOTHING, _SHOWN):
                proven = begun.proven(name, SECOND if second else FIRST, typed, subject=user_id)
                right = isinstance(proven, Redeemed) and _may_stand(user, proven, second=second)
            else:
                right = False
            if right or not (typed.isascii() and typed.isdigit() and len(typed) == LENGTH):
                return right
            if begun.kept(name) == _SHOWN or _is_of_an_app(totp_secret, user):
                return self._judged(typed, totp_secret, user, second=second, back=_STEP, ahead=_STEP)
            if _is_of_a_link(totp_secret, user):
                return self._judged(typed, totp_secret, user, second=second, back=window, ahead=0)
        except StoreError as error:
            log.error("no code can be checked for Flask-Security: %s", error)
        return False

    def _judged(self, typed: str, totp_secret: str, user: Any, *, second: bool, back: int, ahead: int) -> bool:
        """Count a failure, compare with the codes from `back` seconds ago to `ahead` from now, and take it back."""

        def is_right(code: str) -> bool:
            half, last = (back + ahead) // 2, self.get_last_counter(user)
            try:
                match = self._totp.verify(code, totp_secret, window=half, skew=ahead - half, last_counter=last)
            except TokenError:
                return False
            self.set_last_counter(user, match)
            return True

        purpose, subject = SECOND if second else FIRST_ELSEWHERE, _subject(user, second=second)
        verifier = mounted().site.verifier
        judged = judge(verifier, subject, purpose, typed, is_right, address=begun.address())
        return isinstance(judged, Verification)


class PhoneSender(SmsSenderBaseClass):
    """`SECURITY_SMS_SERVICE = "phone-verify"`. The text is ours: it carries a code that is good once."""

    def send_sms(self, from_number: str, to_number: str, msg: str) -> None:
        """Send a code to this number, or the same again while it is good. Raises `NotSentError`."""
        if "phone_verify_asked" not in g:
            raise ConfigurationError("codes are not counted: write Security(app, datastore, totp_cls=PhoneTotp)")
        totp_secret, before, _ = g.pop("phone_verify_asked")
        user = _user_here()
        second = _is_second(totp_secret, user)
        phone = PhoneNumber.parse(to_number, mounted().site.verifier.policy.region)
        outcome = begun.sent(
            _name(totp_secret),
            phone,
            SECOND if second else FIRST,
            before or NOTHING,
            subject=_user_id(user) if second else "",
            by_client=not second,
        )
        if not outcome.ok:
            log.warning("no code was sent for Flask-Security: %s", outcome.reason)
            raise NotSentError(str(outcome.reason))


def _sent_by_flask_security(app: Flask, *, user: Any, method: str, token: str | None, **_: Any) -> None:
    """Hold the code of a mail. Flask-Security tells the user that nothing was sent where this raises."""
    if method not in _MAIL or token is None or "phone_verify_asked" not in g:
        return
    totp_secret, _, before = g.pop("phone_verify_asked")
    second = _is_second(totp_secret, user)
    of_second = _is_of_second_factor(totp_secret, user)
    life = timedelta(seconds=app.config[f"SECURITY_{'TWO_FACTOR_MAIL' if of_second else 'US_TOKEN'}_VALIDITY"])
    outcome, held = hold(
        mounted().site.verifier,
        _subject(user, second=second),
        SECOND if second else FIRST_ELSEWHERE,
        token,
        life=life,
        shown=[before.secret] if before is not None else (),
        user_id=_user_id(user) if second else "",
    )
    if held is None:
        log.warning("the code of a mail is refused for Flask-Security: %s", outcome.reason)
        raise NotSentError(str(outcome.reason))
    begun.keep(_mail(_name(totp_secret)), held)


def _may_stand(user: Any, proven: Redeemed, *, second: bool) -> bool:
    """Return whether a code sent to the phone may sign this user in, or be the second factor."""
    site = mounted().site
    return rights.counts_for(site, user, proven) if second else rights.signs_in(site, user, proven)


def _is_second(totp_secret: str, user: Any) -> bool:
    """Return whether this secret is asked for after another factor of this very user."""
    if current_user.is_authenticated and user is not None and current_user.get_id() == user.get_id():
        return True
    return _is_of_second_factor(totp_secret, user)


def _is_of_second_factor(totp_secret: str, user: Any) -> bool:
    return totp_secret in (getattr(user, "tf_totp_secret", None), session.get("tf_totp_secret"))


def _user_here() -> Any:
    """Return the user who is signed in, or has given the first factor in this session, or None."""
    if current_user.is_authenticated:
        return current_user
    id = session.get("tf_user_id")
    return _datastore.find_user(fs_uniquifier=id) if id else None


def _user_id(user: Any) -> str:
    return str(user.get_id()) if user is not None else ""


def _is_of_an_app(totp_secret: str, user: Any) -> bool:
    if any(_us_secret(user, method) == totp_secret for method in _APP):
        return True
    second, method = getattr(user, "tf_totp_secret", None), getattr(user, "tf_primary_method", None)
    return second == totp_secret and method in _APP


def _is_of_a_link(totp_secret: str, user: Any) -> bool:
    """Return whether this is the link of a mail, which may be opened in another browser than asked for it."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    return endpoint == "us_verify_link" and _us_secret(user, "email") == totp_secret


def _us_secret(user: Any, method: str) -> str | None:
    secrets = _datastore.us_get_totp_secrets(user) if hasattr(user, "us_totp_secrets") else {}
    found: str | None = secrets.get(method)
    return found


def _subject(user: Any, *, second: bool) -> PhoneNumber:
    """Return whose failures are counted.

    After another factor they are those of the user's phone, so that changing from SMS to mail gives no new attempts.
    Before one they are the account's: whoever guesses at its mail or app must not lock sign-in by its phone.
    """
    verifier = mounted().site.verifier
    number = getattr(user, "tf_phone_number", None) or getattr(user, "us_phone_number", None)
    if second and number:
        try:
            return PhoneNumber.parse(number, verifier.policy.region)
        except InvalidPhoneError:
            pass
    return account(verifier, str(user.fs_uniquifier))


def _name(totp_secret: str) -> str:
    return sha256(totp_secret.encode()).hexdigest()[:16]


def _mail(name: str) -> str:
    return f"{name} mail"
