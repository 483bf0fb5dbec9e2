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
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from flask import Flask, current_app, g, request, session
from flask_login import current_user

from phone_verify import Outcome, PhoneNumber, PhoneVerifyError, Reason, StoreError, Verification
from phone_verify.errors import ConfigurationError
from phone_verify.external.codes import LENGTH, account, hold, judge, judge_again, may_be_judged
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification
from phone_verify.model import Redeemed

from . import pending, rights
from .state import current_state

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
#: Of the second factor, and of a code that a signed-in user is asked for again.
SECOND = "second_factor"
#: Of setting a factor up. The user chooses the number, so it uses no limits of that number's second factor.
SETUP = "factor_setup"
#: Of a code sent to the phone that signs in by itself, counted with the codes of our own pages.
FIRST = "login"
#: Of a code by mail or of an app that signs in by itself. Our API takes no proof of it: it says nothing of a phone.
FIRST_ELSEWHERE = "flask_security"

_MAIL = ("email", "mail")
_APP = ("authenticator", "google_authenticator")
#: Kept for a secret that was shown for an app to be set up.
_SHOWN = PendingVerification("app", "")
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
        g.phone_verify_asked = totp_secret, pending.kept(name), pending.kept(_mail(name))
        pending.keep(name, NO_VERIFICATION)
        pending.forget(_mail(name))
        return super().generate_totp_password(totp_secret)

    def fetch_setup_values(self, totp: str, user: Any) -> dict[str, str]:
        """Return what an authenticator app is set up with."""
        pending.keep(_name(totp), _SHOWN)
        return super().fetch_setup_values(totp, user)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:
        """Return whether this is the code that was sent to this session, or that the user's app shows."""
        name, typed = _name(totp_secret), str(token)
        purpose = _purpose(totp_secret, user)
        try:
            if pending.kept(_mail(name)) is not None:
                proven = pending.proven(_mail(name), _elsewhere(purpose), typed, subject=_subject(purpose, user))
                right = isinstance(proven, Redeemed)
            elif pending.kept(name) not in (None, NO_VERIFICATION, _SHOWN):
                right = _is_of_message(name, purpose, typed, user)
            else:
                right = False
            if right or not (typed.isascii() and typed.isdigit() and len(typed) == LENGTH):
                return right
            if pending.kept(name) == _SHOWN or _is_of_an_app(totp_secret, user):
                return self._judged(typed, totp_secret, user, purpose, back=_STEP, ahead=_STEP)
            if _is_of_a_link(totp_secret, user):
                return self._judged(typed, totp_secret, user, purpose, back=window, ahead=0)
        except StoreError as error:
            log.error("no code can be checked for Flask-Security: %s", error)
        return False

    def _judged(self, typed: str, totp_secret: str, user: Any, purpose: str, *, back: int, ahead: int) -> bool:
        """Count a failure, compare with the codes from `back` seconds ago to `ahead` from now, and take it back."""

        def is_right(code: str) -> bool:
            half, last = (back + ahead) // 2, self.get_last_counter(user)
            try:
                match = self._totp.verify(code, totp_secret, window=half, skew=ahead - half, last_counter=last)
            except TokenError:
                return False
            self.set_last_counter(user, match)
            return True

        judged = judge(
            current_state().site.verifier,
            _account(user),
            _elsewhere(purpose),
            typed,
            is_right,
            user_id=_subject(purpose, user),
            address=pending.address(),
        )
        return isinstance(judged, Verification)


class PhoneSender(SmsSenderBaseClass):
    """`SECURITY_SMS_SERVICE = "phone-verify"`. The text is ours: it carries a code that is good once."""

    def send_sms(self, from_number: str, to_number: str, msg: str) -> None:
        """Send a code to this number, or the same again while it is good. Raises `NotSentError`."""
        if "phone_verify_asked" not in g:
            raise ConfigurationError("codes are not counted: write Security(app, datastore, totp_cls=PhoneTotp)")
        totp_secret, before, _ = g.pop("phone_verify_asked")
        user, verifier = _user_here(), current_state().site.verifier
        purpose = _purpose(totp_secret, user)
        subject = _subject(purpose, user)
        phone = PhoneNumber.parse(to_number, verifier.policy.region)
        outcome = Outcome()
        if purpose == SECOND:
            outcome = may_be_judged(verifier, _account(user), SECOND, user_id=subject)
        if outcome.ok:
            outcome = pending.sent(
                _name(totp_secret),
                phone,
                purpose,
                before or NO_VERIFICATION,
                subject=subject,
                by_client=purpose != SECOND,
            )
        if not outcome.ok:
            _refuse(f"no code was sent for Flask-Security: {outcome.reason}", purpose)


def _sent_by_flask_security(app: Flask, *, user: Any, method: str, token: str | None, **_: Any) -> None:
    """Hold the code of a mail. Flask-Security tells the user that nothing was sent where this raises."""
    if method not in _MAIL or token is None or "phone_verify_asked" not in g:
        return
    totp_secret, _, before = g.pop("phone_verify_asked")
    purpose = _purpose(totp_secret, user)
    of_second = _is_of_second_factor(totp_secret, user)
    life = timedelta(seconds=app.config[f"SECURITY_{'TWO_FACTOR_MAIL' if of_second else 'US_TOKEN'}_VALIDITY"])
    outcome, held = hold(
        current_state().site.verifier,
        _account(user),
        _elsewhere(purpose),
        token,
        life=life,
        shown=[before.secret] if before is not None else (),
        user_id=_subject(purpose, user),
    )
    if held is None:
        _refuse(f"the code of a mail is refused for Flask-Security: {outcome.reason}", purpose)
    else:
        pending.keep(_mail(_name(totp_secret)), held)


def _refuse(message: str, purpose: str) -> None:
    """Log that a code was not sent, and raise `NotSentError` unless a visitor must not learn of it.

    With Flask-Security's generic answers an unknown user is told that a code was sent; so is one with used-up limits.
    """
    log.warning("%s", message)
    if purpose != FIRST or not current_app.config["SECURITY_RETURN_GENERIC_RESPONSES"]:
        raise NotSentError(message)


def _is_of_message(name: str, purpose: str, typed: str, user: Any) -> bool:
    """Return whether this is the code that was sent to the phone, and may count for this user.

    As second factor its failure counts for the account too: changing from SMS to mail gives no new attempts.
    """

    def is_right() -> bool | None:
        proven = pending.proven(name, purpose, typed, subject=_subject(purpose, user))
        if isinstance(proven, Redeemed):
            return _may_stand(user, proven, purpose)
        return False if proven.reason is Reason.WRONG_CODE else None

    if purpose != SECOND:
        return bool(is_right())
    subject = _subject(purpose, user)
    return judge_again(current_state().site.verifier, _account(user), SECOND, is_right, user_id=subject)


def _may_stand(user: Any, proven: Redeemed, purpose: str) -> bool:
    """Return whether a code sent to the phone may sign this user in, or be the second factor."""
    site = current_state().site
    return rights.signs_in(site, user, proven) if purpose == FIRST else rights.counts_for(site, user, proven)


def _purpose(totp_secret: str, user: Any) -> str:
    """Return what a message with the code of this secret is for.

    A secret that the user does not have yet is one that is being set up, after another factor or a sign-in.
    """
    if user is not None and totp_secret == getattr(user, "tf_totp_secret", None):
        return SECOND
    if current_user.is_authenticated and user is not None and current_user.get_id() == user.get_id():
        return SECOND if totp_secret in _us_secrets(user).values() else SETUP
    return SETUP if totp_secret == session.get("tf_totp_secret") else FIRST


def _elsewhere(purpose: str) -> str:
    """Return the purpose of a code that goes another way than to the phone."""
    return FIRST_ELSEWHERE if purpose == FIRST else purpose


def _is_of_second_factor(totp_secret: str, user: Any) -> bool:
    return totp_secret in (getattr(user, "tf_totp_secret", None), session.get("tf_totp_secret"))


def _user_here() -> Any:
    """Return the user who is signed in, or has given the first factor in this session, or None."""
    if current_user.is_authenticated:
        return current_user
    id = session.get("tf_user_id")
    return _datastore.find_user(fs_uniquifier=id) if id else None


def _subject(purpose: str, user: Any) -> str:
    """Return the id of the user who gave another factor, or an empty text before one."""
    return str(user.get_id()) if purpose != FIRST and user is not None else ""


def _is_of_an_app(totp_secret: str, user: Any) -> bool:
    secrets = _us_secrets(user)
    if any(secrets.get(method) == totp_secret for method in _APP):
        return True
    second, method = getattr(user, "tf_totp_secret", None), getattr(user, "tf_primary_method", None)
    return second == totp_secret and method in _APP


def _is_of_a_link(totp_secret: str, user: Any) -> bool:
    """Return whether this is the link of a mail, which may be opened in another browser than asked for it."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    return endpoint == "us_verify_link" and _us_secrets(user).get("email") == totp_secret


def _us_secrets(user: Any) -> Mapping[str, str]:
    """Return the user's secrets of unified sign-in, by method."""
    return _datastore.us_get_totp_secrets(user) if hasattr(user, "us_totp_secrets") else {}


def _account(user: Any) -> PhoneNumber:
    """Return under what the failures of this user's account are counted.

    Not under its phone: Flask-Security keeps a number before it is verified, so that another user may have it too. And
    not by `fs_uniquifier`: a new password draws another, and would forget the failures.
    """
    return account(current_state().site.verifier, str(user.id))


def _name(totp_secret: str) -> str:
    return sha256(totp_secret.encode()).hexdigest()[:16]


def _mail(name: str) -> str:
    return f"{name} mail"
