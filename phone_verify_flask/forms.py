"""Forms for the site's pages: a number, and the code sent to it.

    form = PhoneForm()
    if form.validate_on_submit() and form.send("confirm"):
        return redirect(url_for("enter_code"))

    form = CodeForm()
    if form.validate_on_submit() and (proven := form.prove("confirm")):
        current_user.phone = proven.phone.e164

Flask-WTF protects them with its token. The session holds the pending verification; the core validates numbers, checks
codes and enforces the limits.
"""

from __future__ import annotations

import logging
from typing import Any

import flask_login
from flask_wtf import FlaskForm
from wtforms import Field, StringField, TelField, ValidationError  # type: ignore[import-untyped]
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped]

from phone_verify import InvalidPhoneError, Outcome, PhoneNumber, StoreError
from phone_verify.external.forms import NO_VERIFICATION
from phone_verify.i18n.texts import Texts
from phone_verify.model import Redeemed

from . import pending
from .calls import read_call
from .login import current
from .recent import note_check
from .state import current_state

log = logging.getLogger("phone_verify")

_LONGEST = 1024


class PhoneForm(FlaskForm):  # type: ignore[misc]
    """A form with the field `phone`; once validated, `number` is the `PhoneNumber`."""

    phone = TelField(validators=[InputRequired(), Length(max=_LONGEST)])
    number: PhoneNumber | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phone.label.text = _texts().page["phone"]
        self.phone.render_kw = {"autocomplete": "tel", "inputmode": "tel", "dir": "ltr", **(self.phone.render_kw or {})}

    def validate_phone(self, field: Field) -> None:
        """Parse the number as it was entered."""
        try:
            policy = current_state().site.verifier.policy
            self.number = PhoneNumber.read(field.data, policy.region, also=policy.regions_after(policy.region))
        except InvalidPhoneError:
            raise ValidationError(_texts().page["invalid_phone"]) from None

    def send(self, purpose: str = "confirm") -> bool:
        """Send a code for this purpose by the first channel with a code. On failure add an error to the field.

        Nothing is sent while the last code for this number is valid: the visitor enters it or requests a resend
        (`CodeForm.send_again`). Call `validate_on_submit` first.
        """
        if self.number is None:
            raise RuntimeError("call validate_on_submit() first: only a valid form has a number to send to")
        name, subject = _name(purpose), _subject()
        try:
            live = pending.find_open(name, subject)
            if live is not None and live.phone == self.number:
                return True
            before = pending.load(name) or NO_VERIFICATION
            outcome = pending.send_code(name, self.number, purpose, before, subject=subject, by_client=True)
        except StoreError as error:
            return _add_unavailable(self.phone, error)
        return outcome.ok or _add_error(self.phone, outcome)


class CodeForm(FlaskForm):  # type: ignore[misc]
    """A form with the field `code`."""

    code = StringField(validators=[InputRequired(), Length(max=_LONGEST)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.code.label.text = _texts().page["code"]
        given = self.code.render_kw or {}
        self.code.render_kw = {"autocomplete": "one-time-code", "inputmode": "numeric", "dir": "ltr", **given}

    def send_again(self, purpose: str = "confirm") -> bool:
        """Resend the code, or add an error to the field. Attempts are not reset.

        If the verification has ended, a new one starts for the same number, under the same limits.

        For a button of the same form: the token is checked here because the form has no code yet.
        """
        token, name, subject = getattr(self, "csrf_token", None), _name(purpose), _subject()
        if token is not None and not token.validate(self):
            return False
        try:
            outcome = pending.resend_code(name, subject=subject)
        except StoreError as error:
            return _add_unavailable(self.code, error)
        return outcome.ok or _add_error(self.code, outcome)

    def prove(self, purpose: str = "confirm") -> Redeemed | None:
        """Return what a right code for this purpose verifies, once; else None and an error at the field.

        The current user's number then counts as checked for `recent_phone_check_required`.
        """
        try:
            proven = pending.verify_code(_name(purpose), purpose, self.code.data or "", subject=_subject())
        except StoreError as error:
            _add_unavailable(self.code, error)
            return None
        if not isinstance(proven, Redeemed):
            _add_error(self.code, proven)
            return None
        accounts = current_state().accounts
        if current(accounts) and accounts.number_of(flask_login.current_user) == proven.phone:
            note_check(proven.phone)
        return proven


def _name(purpose: str) -> str:
    return f"form {purpose}"


def _subject() -> str:
    """Return the id of the signed-in user, or an empty text."""
    user = current(current_state().accounts)
    return user.id if user is not None else ""


def _texts() -> Texts:
    return read_call("").texts


def _add_error(field: Field, outcome: Outcome) -> bool:
    field.errors = [*field.errors, _texts().refusal(outcome)]
    return False


def _add_unavailable(field: Field, error: StoreError) -> bool:
    log.error("the store did not answer: %s", error)
    field.errors = [*field.errors, _texts().page["unavailable"]]
    return False
