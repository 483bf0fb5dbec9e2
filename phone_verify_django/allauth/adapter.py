"""The methods that django-allauth requires for its phone login, implemented with our verifications.

Our verifier sends, stores and compares the code. In its place django-allauth keeps a mark in the
session that no typed code equals, so that other forms than ours refuse every code.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from allauth.account.adapter import DefaultAccountAdapter, get_adapter  # type: ignore[import-untyped]
from allauth.core.exceptions import ImmediateHttpResponse  # type: ignore[import-untyped]
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpResponseRedirect
from django.utils.translation import get_language

from phone_verify import InvalidPhoneError, Outcome, PhoneNumber, Reason, StoreError
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, send_code, verify_code
from phone_verify.http.client_address import call_address
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import Texts, texts_in
from phone_verify.model import Redeemed

from .. import account_policy, accounts, calls, pending_login, phones, signals
from ..access import note_check
from ..formfields import PhoneField
from ..rights import StaffPhoneError
from ..site import current_site, site_of
from ..store import joining_on_sqlite
from .login import note_verified, verified_in
from .models import ClaimedPhone

log = logging.getLogger("phone_verify")

#: Session key: the pending verifications by purpose and number.
PENDING = "phone_verify_allauth_begun"

VERIFY_PHONE_STAGE = "allauth.account.stages.PhoneVerificationStage"
PHONE_STAGE = "phone_verify_django.allauth.stages.PhoneStage"

_MAX_PENDING = 5
#: Prefix of the number in the place of a code. Not ASCII: django-allauth does not compare such a text.
_MARK = "✆"


class _CleanPhoneField(PhoneField):
    def clean(self, value: Any) -> str:
        phone = super().clean(value)
        return PhoneVerifyAccountAdapter.current().clean_phone(phone) if phone else phone


class PhoneVerifyAccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Adapter for the owners of numbers and for sending codes. Set `ACCOUNT_ADAPTER` to it or to a subclass."""

    @staticmethod
    def current() -> Any:
        """Return the adapter set in the settings, for the current request."""
        return get_adapter()

    # Called by django-allauth.

    def phone_form_field(self, **kwargs: Any) -> PhoneField:
        """Return a field that accepts numbers as people type them."""
        return _CleanPhoneField(**kwargs)

    def get_phone(self, user: AbstractBaseUser) -> tuple[str, bool] | None:
        """Return the user's number and True, or a number entered but not verified and False, or None."""
        if (phone := accounts.phone_of(user)) is not None:
            return phone, True
        if (redeemed := verified_in(self.request, user)) is not None:  # assigned to the user when the login has ended
            return redeemed.phone.e164, True
        claimed = ClaimedPhone.objects.filter(user_id=user.pk).values_list("phone", flat=True).first()
        return None if claimed is None else (claimed, False)

    def set_phone(self, user: AbstractBaseUser, phone: str, verified: bool) -> None:
        """Keep a number entered by the user. `verified` is ignored: only our own proof makes it verified."""
        ClaimedPhone.objects.update_or_create(user_id=user.pk, defaults={"phone": phone})

    def set_phone_verified(self, user: AbstractBaseUser, phone: str) -> None:
        """Replace the user's numbers by this one, whose code django-allauth has just accepted."""
        redeemed = self._proof_of(phone)
        if redeemed is None:
            self._stop(self._texts.page["phone_refused"])
        login_phone = not self.request.user.is_authenticated
        try:
            if user.pk not in phones.holders_of(phone):
                self._assign(user, redeemed)
            elif not login_phone:
                phones.touch_verified_at(user, redeemed)
        except StaffPhoneError:
            self._stop(self._texts.page["phone_refused"])
        ClaimedPhone.objects.filter(user_id=user.pk).delete()
        if login_phone:  # the effects of the login apply when it has ended
            pending_login.note(self.request, user, redeemed.phone)
            note_verified(self.request, user, redeemed)
        else:
            signals.send_verified(self.request, user, redeemed)
            note_check(self.request, PhoneNumber(phone))

    def get_login_stages(self) -> list[str]:
        """Return django-allauth's stages, with ours after those that verify a phone."""
        found: list[str] = list(super().get_login_stages())
        after = found.index(VERIFY_PHONE_STAGE) + 1 if VERIFY_PHONE_STAGE in found else 0
        return [*found[:after], PHONE_STAGE, *found[after:]]

    def get_user_by_phone(self, phone: str) -> AbstractBaseUser | None:
        """Return the user with this verified number; None for a number that was only entered."""
        try:
            number = PhoneNumber.parse(phone, current_site().verifier.policy.region)
        except InvalidPhoneError:
            return None
        return phones.owner_of(number.e164)

    def generate_phone_verification_code(self, *, user: AbstractBaseUser, phone: str) -> str:
        """Return a mark in the place of a code: our verifier creates and stores the code."""
        return f"{_MARK}{phone}"

    def send_verification_code_sms(self, user: AbstractBaseUser, phone: str, code: str, **kwargs: Any) -> None:
        """Send our code, within the limits, by the site's first channel that delivers a code."""
        self._send(phone)

    def send_unknown_account_sms(self, phone: str, **kwargs: Any) -> None:
        """Send a code anyway, so that known and unknown numbers cannot be distinguished by text, time or cost."""
        self._send(phone)

    def send_account_already_exists_sms(self, phone: str) -> None:
        """Send a code anyway. Only the visitor who enters it learns that the account exists."""
        self._send(phone)

    # Called by our forms.

    @staticmethod
    def phone_of_mark(code: str | None) -> str | None:
        """Return the number in a mark; None for a code of django-allauth itself."""
        return code[len(_MARK) :] if code and code.startswith(_MARK) else None

    def newest_pending(self) -> str | None:
        """Return the number that was sent the last code for this purpose."""
        keys = [key for key in self.request.session.get(PENDING, {}) if key.startswith(f"{self._purpose} ")]
        return keys[-1].partition(" ")[2] if keys else None

    def error_for_code(self, phone: str, typed: str, user: AbstractBaseUser | None) -> str | None:
        """Check a code as typed. Return None for the right one, otherwise the error for the visitor."""
        pending = self.request.session.get(PENDING, {}).get(f"{self._purpose} {phone}")
        if pending is None:
            return self._texts.reasons[Reason.CLOSED]
        try:
            with joining_on_sqlite():
                result = verify_code(
                    current_site().verifier,
                    PendingVerification(*pending),
                    PhoneNumber(phone),
                    self._purpose,
                    typed,
                    address=self._address,
                    subject=self._subject,
                )
        except StoreError as error:
            log.error("a code of django-allauth's login could not be checked: %s", error)
            return self._texts.page["unavailable"]
        if isinstance(result, Outcome):
            return self._texts.refusal(result)
        owner = user or self.get_user_by_phone(phone)
        login_phone = not self.request.user.is_authenticated
        if login_phone and owner is not None and not account_policy.lets_in(owner, result):
            return self._texts.page["login_refused"]
        self.request.phone_verify_redeemed = result
        return None

    # Helpers.

    @property
    def _purpose(self) -> str:
        return "change_phone" if self.request.user.is_authenticated else "login"

    @property
    def _subject(self) -> str:
        return str(self.request.user.pk) if self.request.user.is_authenticated else ""

    @property
    def _address(self) -> str | None:
        return call_address(current_site(), calls.read_call(self.request))

    @property
    def _texts(self) -> Texts:
        return texts_in(named(get_language() or "") or ENGLISH)

    def _proof_of(self, phone: str) -> Redeemed | None:
        redeemed: Redeemed | None = getattr(self.request, "phone_verify_redeemed", None)
        return redeemed if redeemed is not None and redeemed.phone == PhoneNumber(phone).current else None

    def _assign(self, user: AbstractBaseUser, redeemed: Redeemed) -> None:
        """Assign a number that this user has entered, at sign-up or for a change."""
        phone = redeemed.phone.e164
        claim = ClaimedPhone.objects.filter(user_id=user.pk, phone__in=redeemed.phone.forms)
        if not self.request.user.is_authenticated and not claim.exists():
            # The user had the number when the login started; it was removed meanwhile.
            self._stop(self._texts.page["login_refused"])
        if not self.request.user.is_authenticated and accounts.is_stored(redeemed, besides=user):
            self._stop(self._texts.page["login_refused"])
        change = phones.assign(user, redeemed, replace_existing=True, transfer=False)
        if change is None:
            self._stop(str(self.error_messages["phone_taken"]))
        phones.send_signals(self.request, user, change, phone)

    def _send(self, phone: str) -> None:
        site, session, key = site_of(self.request), self.request.session, f"{self._purpose} {phone}"
        kept = dict(session.get(PENDING, {}))
        before = kept.pop(key, None)
        try:
            with joining_on_sqlite():
                outcome, now = send_code(
                    site.verifier,
                    PhoneNumber(phone),
                    self._purpose,
                    begun=PendingVerification(*before) if before else NO_VERIFICATION,
                    locale=self._texts.language.tag,
                    address=self._address,
                    subject=self._subject,
                    by_client=True,
                    client=calls.facts(self.request, site),
                )
        except StoreError as error:
            log.error("a code of django-allauth's login could not be sent: %s", error)
            self._stop(self._texts.page["unavailable"])
        if now != NO_VERIFICATION:
            kept[key] = [now.id, now.secret]
        session[PENDING] = dict(list(kept.items())[-_MAX_PENDING:])
        if outcome.reason is not None:
            self._stop(self._texts.refusal(outcome))

    def _stop(self, why: str) -> NoReturn:
        """Redirect to the same page with this message."""
        self.add_message(self.request, messages.ERROR, message=why)
        raise ImmediateHttpResponse(HttpResponseRedirect(self.request.get_full_path()))
