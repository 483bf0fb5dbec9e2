"""Bridge to Flask-Security-Too: the codes of its forms are checked under our limits.

    app.config["SECURITY_SMS_SERVICE"] = "phone-verify"
    Security(app, datastore, totp_cls=PhoneTotp)

Flask-Security derives a code from a secret, sends it, and compares it any number of times. With these two lines a
message carries our code instead, on any channel with a code: valid once, with few attempts, under all send and failure
limits. A code that Flask-Security sends by email is held under the same rules, and the code of an authenticator app is
compared only after its failure was counted.
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
from phone_verify.errors import ConfigurationError, missing_extra
from phone_verify.external.codes import LENGTH, account, check_code, count_check, may_check, register_code
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
except ImportError as error:
    raise missing_extra("phone_verify_flask.flask_security", "security", error) from error

log = logging.getLogger("phone_verify")

SERVICE = "phone-verify"
#: For the second factor, and for a code that a signed-in user must enter again.
SECOND = "second_factor"
#: For setting a factor up. The user chooses the number, so it uses no limits of that number's second factor.
SETUP = "factor_setup"
#: For a code sent to the phone that alone signs in, counted with the codes of our pages.
FIRST = "login"
#: For a code by email or app that alone signs in. Our API accepts no proof of it: it verifies no phone.
FIRST_ELSEWHERE = "flask_security"

_MAIL = ("email", "mail")
_APP = ("authenticator", "google_authenticator")
#: Saved for a secret that was displayed to set up an app.
_SHOWN = PendingVerification("app", "")
#: One time step of RFC 6238: an app whose clock differs by more is refused.
_STEP = 30


class NotSentError(PhoneVerifyError):
    """No code was sent. Flask-Security then shows the user an error."""


class PhoneTotp(Totp):
    """For `Security(totp_cls=PhoneTotp)`: every code is checked under our limits."""

    def __init__(self, secrets: Any, issuer: str) -> None:
        super().__init__(secrets, issuer)
        SmsSenderFactory.senders[SERVICE] = PhoneSender
        for signal in (tf_security_token_sent, us_security_token_sent):
            signal.connect(_sent_by_flask_security)

    def generate_totp_password(self, totp_secret: str) -> str:
        """Return the code of the current time step. If an SMS follows, it carries another code."""
        name = _name(totp_secret)
        g.phone_verify_asked = totp_secret, pending.load(name), pending.load(_mail(name))
        pending.save(name, NO_VERIFICATION)
        pending.drop(_mail(name))
        return super().generate_totp_password(totp_secret)

    def fetch_setup_values(self, totp: str, user: Any) -> dict[str, str]:
        """Return the values to set up an authenticator app."""
        pending.save(_name(totp), _SHOWN)
        return super().fetch_setup_values(totp, user)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:
        """Return whether this is the code sent to this session, or the code of the user's app."""
        name, typed = _name(totp_secret), str(token)
        purpose = _purpose(totp_secret, user)
        try:
            if pending.load(_mail(name)) is not None:
                proven = pending.verify_code(_mail(name), _elsewhere(purpose), typed, subject=_subject(purpose, user))
                right = isinstance(proven, Redeemed)
            elif pending.load(name) not in (None, NO_VERIFICATION, _SHOWN):
                right = _is_of_message(name, purpose, typed, user)
            else:
                right = False
            if right or not (typed.isascii() and typed.isdigit() and len(typed) == LENGTH):
                return right
            if pending.load(name) == _SHOWN or _is_of_an_app(totp_secret, user):
                return self._compare_counted(typed, totp_secret, user, purpose, back=_STEP, ahead=_STEP)
            if _is_of_a_link(totp_secret, user):
                return self._compare_counted(typed, totp_secret, user, purpose, back=window, ahead=0)
        except StoreError as error:
            log.error("codes of Flask-Security cannot be checked: %s", error)
        return False

    def _compare_counted(self, typed: str, totp_secret: str, user: Any, purpose: str, *, back: int, ahead: int) -> bool:
        """Count a failure, compare with the codes of `back` seconds ago to `ahead`, and refund it if right."""

        def is_right(code: str) -> bool:
            half, last = (back + ahead) // 2, self.get_last_counter(user)
            try:
                match = self._totp.verify(code, totp_secret, window=half, skew=ahead - half, last_counter=last)
            except TokenError:
                return False
            self.set_last_counter(user, match)
            return True

        judged = check_code(
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
    """The `SECURITY_SMS_SERVICE = "phone-verify"`. It sends our text with a code that works once."""

    def send_sms(self, from_number: str, to_number: str, msg: str) -> None:
        """Send a code to this number, or resend it while it is valid. Raises `NotSentError`."""
        if "phone_verify_asked" not in g:
            raise ConfigurationError("codes are not counted: write Security(app, datastore, totp_cls=PhoneTotp)")
        totp_secret, before, _ = g.pop("phone_verify_asked")
        user, verifier = _user_here(), current_state().site.verifier
        purpose = _purpose(totp_secret, user)
        subject = _subject(purpose, user)
        phone = PhoneNumber.stored(to_number, verifier.policy.region)
        outcome = Outcome()
        if purpose == SECOND:
            outcome = may_check(verifier, _account(user), SECOND, user_id=subject)
        if outcome.ok:
            outcome = pending.send_code(
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
    """Hold the code of an email. If this raises, Flask-Security reports that nothing was sent."""
    if method not in _MAIL or token is None or "phone_verify_asked" not in g:
        return
    totp_secret, _, before = g.pop("phone_verify_asked")
    purpose = _purpose(totp_secret, user)
    of_second = _is_of_second_factor(totp_secret, user)
    life = timedelta(seconds=app.config[f"SECURITY_{'TWO_FACTOR_MAIL' if of_second else 'US_TOKEN'}_VALIDITY"])
    outcome, held = register_code(
        current_state().site.verifier,
        _account(user),
        _elsewhere(purpose),
        token,
        ttl=life,
        shown=[before.secret] if before is not None else (),
        user_id=_subject(purpose, user),
    )
    if held is None:
        _refuse(f"the code of a mail is refused for Flask-Security: {outcome.reason}", purpose)
    else:
        pending.save(_mail(_name(totp_secret)), held)


def _refuse(message: str, purpose: str) -> None:
    """Log that a code was not sent, and raise `NotSentError` unless that must stay hidden from the visitor.

    With Flask-Security's generic responses an unknown user sees that a code was sent; so does a user whose limits are
    exhausted.
    """
    log.warning("%s", message)
    if purpose != FIRST or not current_app.config["SECURITY_RETURN_GENERIC_RESPONSES"]:
        raise NotSentError(message)


def _is_of_message(name: str, purpose: str, typed: str, user: Any) -> bool:
    """Return whether this is the code sent to the phone and may count for this user.

    As second factor its failure counts for the account too: changing from SMS to email gives no new attempts.
    """

    def is_right() -> bool | None:
        proven = pending.verify_code(name, purpose, typed, subject=_subject(purpose, user))
        if isinstance(proven, Redeemed):
            return _may_count(user, proven, purpose)
        return False if proven.reason is Reason.WRONG_CODE else None

    if purpose != SECOND:
        return bool(is_right())
    subject = _subject(purpose, user)
    return count_check(current_state().site.verifier, _account(user), SECOND, is_right, user_id=subject)


def _may_count(user: Any, proven: Redeemed, purpose: str) -> bool:
    """Return whether a code sent to the phone may sign this user in, or be the second factor."""
    site = current_state().site
    return rights.signs_in(site, user, proven) if purpose == FIRST else rights.counts_for(site, user, proven)


def _purpose(totp_secret: str, user: Any) -> str:
    """Return the purpose of a message with the code of this secret.

    A secret that the user does not have yet is being set up, after another factor or a sign-in.
    """
    if user is not None and totp_secret == getattr(user, "tf_totp_secret", None):
        return SECOND
    if current_user.is_authenticated and user is not None and current_user.get_id() == user.get_id():
        return SECOND if totp_secret in _us_secrets(user).values() else SETUP
    return SETUP if totp_secret == session.get("tf_totp_secret") else FIRST


def _elsewhere(purpose: str) -> str:
    """Return the purpose of a code that is not sent to the phone."""
    return FIRST_ELSEWHERE if purpose == FIRST else purpose


def _is_of_second_factor(totp_secret: str, user: Any) -> bool:
    return totp_secret in (getattr(user, "tf_totp_secret", None), session.get("tf_totp_secret"))


def _user_here() -> Any:
    """Return the signed-in user, or the user who passed the first factor in this session, or None."""
    if current_user.is_authenticated:
        return current_user
    id = session.get("tf_user_id")
    return _datastore.find_user(fs_uniquifier=id) if id else None


def _subject(purpose: str, user: Any) -> str:
    """Return the id of the user who passed another factor, or an empty string before one."""
    return str(user.get_id()) if purpose != FIRST and user is not None else ""


def _is_of_an_app(totp_secret: str, user: Any) -> bool:
    secrets = _us_secrets(user)
    if any(secrets.get(method) == totp_secret for method in _APP):
        return True
    second, method = getattr(user, "tf_totp_secret", None), getattr(user, "tf_primary_method", None)
    return second == totp_secret and method in _APP


def _is_of_a_link(totp_secret: str, user: Any) -> bool:
    """Return whether this is the link of an email, which may be opened in another browser."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    return endpoint == "us_verify_link" and _us_secrets(user).get("email") == totp_secret


def _us_secrets(user: Any) -> Mapping[str, str]:
    """Return the user's secrets of unified sign-in, by method."""
    return _datastore.us_get_totp_secrets(user) if hasattr(user, "us_totp_secrets") else {}


def _account(user: Any) -> PhoneNumber:
    """Return the key for counting the failures of this user's account.

    It is not the phone: Flask-Security stores a number before it is verified, so another user may have it too. It is
    not `fs_uniquifier`: a new password replaces it, which would reset the failures.
    """
    return account(current_state().site.verifier, str(user.id))


def _name(totp_secret: str) -> str:
    return sha256(totp_secret.encode()).hexdigest()[:16]


def _mail(name: str) -> str:
    return f"{name} mail"
