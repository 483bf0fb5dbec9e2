"""Flask-Security-Too: its codes by SMS are verifications of ours.

    app.config["SECURITY_SMS_SERVICE"] = "phone-verify"
    Security(app, datastore, totp_cls=PhoneTotp)

Flask-Security makes a code from a secret, sends it, and compares, as often as somebody likes. With these two lines the
message carries a code of ours instead, by any channel that ends in a code to type, and what is typed is a check of
ours: good once, with few tries, under all limits of sends and of wrong answers. Codes of authenticator apps and by
mail stay Flask-Security's.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Any

from flask import g

from phone_verify import PhoneNumber, PhoneVerifyError, StoreError
from phone_verify.errors import ConfigurationError
from phone_verify.model import Redeemed
from phone_verify.typed_codes import NOTHING, Begun

from . import begun, rights
from .mounted import mounted

try:
    from flask_security import SmsSenderBaseClass, SmsSenderFactory
    from flask_security.proxies import _datastore
    from flask_security.totp import Totp
except ImportError:
    raise ConfigurationError("The bridge needs Flask-Security-Too: pip install 'phone-verify[security]'") from None

log = logging.getLogger("phone_verify")

SERVICE = "phone-verify"
#: Counted apart from signing in on our own pages.
PURPOSE = "flask_security"

#: Kept for a secret whose code Flask-Security has sent by mail, or has shown for an app.
_ELSEWHERE = Begun("elsewhere", "")


class NotSentError(PhoneVerifyError):
    """No code was sent. Flask-Security then tells the user that it could not send one."""


class PhoneTotp(Totp):
    """For `Security(totp_cls=PhoneTotp)`: a code that came by SMS is ours to check, any other is Flask-Security's."""

    def __init__(self, secrets: Any, issuer: str) -> None:
        super().__init__(secrets, issuer)
        SmsSenderFactory.senders[SERVICE] = PhoneSender

    def generate_totp_password(self, totp_secret: str) -> str:
        """The code of this moment. If a message by SMS follows, it carries another."""
        name = _name(totp_secret)
        g.phone_verify_asked = name, begun.kept(name)
        begun.keep(name, _ELSEWHERE)
        return super().generate_totp_password(totp_secret)

    def fetch_setup_values(self, totp: str, user: Any) -> dict[str, str]:
        """What an authenticator app is set up with."""
        begun.keep(_name(totp), _ELSEWHERE)
        return super().fetch_setup_values(totp, user)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:
        """Whether this is the code that was sent, or that the app shows."""
        name = _name(totp_secret)
        kept = begun.kept(name)
        if kept == _ELSEWHERE or (kept is None and _is_of_another_way(totp_secret, user)):
            return super().verify_totp(token, totp_secret, user, window)
        try:
            proven = begun.proven(name, PURPOSE, str(token))
        except StoreError as error:
            log.error("no code can be checked for Flask-Security: %s", error)
            return False
        return isinstance(proven, Redeemed) and rights.counts_for(mounted().site, user, proven)


class PhoneSender(SmsSenderBaseClass):
    """`SECURITY_SMS_SERVICE = "phone-verify"`. The text is ours: it carries a code that is good once."""

    def send_sms(self, from_number: str, to_number: str, msg: str) -> None:
        """Send a code to this number, or the same once more while it is good. Raises `NotSentError`."""
        if "phone_verify_asked" not in g:
            raise ConfigurationError("codes are not counted: write Security(app, datastore, totp_cls=PhoneTotp)")
        name, before = g.pop("phone_verify_asked")
        begun.keep(name, NOTHING)
        phone = PhoneNumber.parse(to_number, mounted().site.verifier.policy.region)
        outcome = begun.sent(name, phone, PURPOSE, before or NOTHING)
        if not outcome.ok:
            log.warning("no code was sent for Flask-Security: %s", outcome.reason)
            raise NotSentError(str(outcome.reason))


def _is_of_another_way(totp_secret: str, user: Any) -> bool:
    """Whether this is the secret of the user's app or mail, whose codes nobody need have asked for in this session."""
    ways = _datastore.us_get_totp_secrets(user) if hasattr(user, "us_totp_secrets") else {}
    if any(way != "sms" and secret == totp_secret for way, secret in ways.items()):
        return True
    second, way = getattr(user, "tf_totp_secret", None), getattr(user, "tf_primary_method", None)
    return second == totp_secret and way not in (None, "sms")


def _name(totp_secret: str) -> str:
    return sha256(totp_secret.encode()).hexdigest()[:16]
