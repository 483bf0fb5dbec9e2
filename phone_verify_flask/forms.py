"""Forms for the site's own pages: a number, and the code that was sent to it.

    form = PhoneForm()
    if form.validate_on_submit() and form.send("confirm"):
        return redirect(url_for("type_the_code"))

    form = CodeForm()
    if form.validate_on_submit() and (proven := form.prove("confirm")):
        current_user.phone = proven.phone.e164

Flask-WTF guards them by its token. Which verification is under way stands in the session; numbers, codes and limits
are judged where they always are.
"""

from __future__ import annotations

import logging
from typing import Any

import flask_login
from flask_wtf import FlaskForm
from wtforms import Field, StringField, TelField, ValidationError  # type: ignore[import-untyped]
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped]

from phone_verify import InvalidPhoneError, Outcome, PhoneNumber, Reason, StoreError
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
    """A form with the field `phone`; after it is valid, `number` is the `PhoneNumber`."""

    phone = TelField(validators=[InputRequired(), Length(max=_LONGEST)])
    number: PhoneNumber | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phone.label.text = _texts().page["phone"]
        self.phone.render_kw = {"autocomplete": "tel", "inputmode": "tel", "dir": "ltr", **(self.phone.render_kw or {})}

    def validate_phone(self, field: Field) -> None:
        """Read the number as it was typed."""
        try:
            self.number = PhoneNumber.parse(field.data, current_state().site.verifier.policy.region)
        except InvalidPhoneError:
            raise ValidationError(_texts().page["invalid_phone"]) from None

    def send(self, purpose: str = "confirm") -> bool:
        """Send a code for this purpose, by the first way that ends in a code to type; if not, the field says why.

        While the last one is good for this number, nothing is sent: the visitor types it, or asks for it once more
        (`CodeForm.send_again`). Begin with `validate_on_submit`.
        """
        if self.number is None:
            raise RuntimeError("ask validate_on_submit() first: only a valid form has a number to send to")
        name, subject = _name(purpose), _subject()
        try:
            live = pending.under_way(name, subject)
            if live is not None and live.phone == self.number:
                return True
            before = pending.kept(name) or NO_VERIFICATION
            outcome = pending.sent(name, self.number, purpose, before, subject=subject, by_client=True)
        except StoreError as error:
            return _down(self.phone, error)
        return outcome.ok or _refused(self.phone, outcome)


class CodeForm(FlaskForm):  # type: ignore[misc]
    """A form with the field `code`."""

    code = StringField(validators=[InputRequired(), Length(max=_LONGEST)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.code.label.text = _texts().page["code"]
        given = self.code.render_kw or {}
        self.code.render_kw = {"autocomplete": "one-time-code", "inputmode": "numeric", "dir": "ltr", **given}

    def send_again(self, purpose: str = "confirm") -> bool:
        """Send the code once more, or say at the field why not; no try comes back by it.

        For a button of the same form: the token is looked at here, since the code is not typed yet.
        """
        token, name, subject = getattr(self, "csrf_token", None), _name(purpose), _subject()
        if token is not None and not token.validate(self):
            return False
        try:
            live = pending.under_way(name, subject)
            if live is None:
                return _refused(self.code, Outcome(Reason.NOT_FOUND))
            before = pending.kept(name) or NO_VERIFICATION
            outcome = pending.sent(name, live.phone, purpose, before, subject=subject, by_client=True)
        except StoreError as error:
            return _down(self.code, error)
        return outcome.ok or _refused(self.code, outcome)

    def prove(self, purpose: str = "confirm") -> Redeemed | None:
        """What a right code for this purpose proves, once; for any other None, and the field says why.

        If it is the own number of who is signed in, that is a check as `recent_phone_check_required` asks for.
        """
        try:
            proven = pending.proven(_name(purpose), purpose, self.code.data or "", subject=_subject())
        except StoreError as error:
            _down(self.code, error)
            return None
        if not isinstance(proven, Redeemed):
            _refused(self.code, proven)
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


def _refused(field: Field, outcome: Outcome) -> bool:
    field.errors = [*field.errors, _texts().refusal(outcome)]
    return False


def _down(field: Field, error: StoreError) -> bool:
    log.error("the store did not answer: %s", error)
    field.errors = [*field.errors, _texts().page["unavailable"]]
    return False
