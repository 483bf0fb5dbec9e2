"""What django-allauth asks each site to write for its phone login, over our verifications.

The code is sent, kept and compared by our verifier. What django-allauth keeps in the session in its place is a mark
that no typed code equals, so that a form which is not ours refuses every code.
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
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, prove, send
from phone_verify.http.client_address import call_address
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import Texts, texts_in
from phone_verify.model import Redeemed

from .. import account_policy, accounts, calls, pending_login, phones, signals
from ..formfields import PhoneField
from ..recent import note_check
from ..rights import StaffPhoneError
from ..site import current_site
from ..store import joining_on_sqlite
from .login import note_verified, verified_in
from .models import ClaimedPhone

log = logging.getLogger("phone_verify")

#: In the session: what was begun, by purpose and number.
BEGUN = "phone_verify_allauth_begun"

VERIFY_PHONE_STAGE = "allauth.account.stages.PhoneVerificationStage"
PHONE_STAGE = "phone_verify_django.allauth.stages.PhoneStage"

_MOST_BEGUN = 5
#: Before the number, in the place of a code. Not ASCII: django-allauth compares no such text, whatever is typed.
_MARK = "✆"


class _CleanPhoneField(PhoneField):
    def clean(self, value: Any) -> str:
        phone = super().clean(value)
        return PhoneVerifyAccountAdapter.current().clean_phone(phone) if phone else phone


class PhoneVerifyAccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Whose number it is, and how a code gets there: `ACCOUNT_ADAPTER` names this class, or a subclass."""

    @staticmethod
    def current() -> Any:
        """The adapter that the settings name, for the present request."""
        return get_adapter()

    # What django-allauth asks.

    def phone_form_field(self, **kwargs: Any) -> PhoneField:
        """A field that reads numbers as people type them."""
        return _CleanPhoneField(**kwargs)

    def get_phone(self, user: AbstractBaseUser) -> tuple[str, bool] | None:
        """The user's number and True, or one that was typed and not proven and False, or None."""
        if (phone := accounts.phone_of(user)) is not None:
            return phone, True
        if (redeemed := verified_in(self.request, user)) is not None:  # given to the user once the login has ended
            return redeemed.phone.e164, True
        claimed = ClaimedPhone.objects.filter(user_id=user.pk).values_list("phone", flat=True).first()
        return None if claimed is None else (claimed, False)

    def set_phone(self, user: AbstractBaseUser, phone: str, verified: bool) -> None:
        """Keep a number that the user has typed. Whoever else says it is verified: only our own proof makes it so."""
        ClaimedPhone.objects.update_or_create(user_id=user.pk, defaults={"phone": phone})

    def set_phone_verified(self, user: AbstractBaseUser, phone: str) -> None:
        """Make this the user's number, in the place of any other; django-allauth has just seen its code."""
        redeemed = self._proof_of(phone)
        if redeemed is None:
            self._stop(self._texts.page["phone_refused"])
        signs_in = not self.request.user.is_authenticated
        try:
            if phone not in phones.phones_of(user):
                self._give(user, redeemed)
            elif not signs_in:
                phones.touch_verified_at(user, redeemed)
        except StaffPhoneError:
            self._stop(self._texts.page["phone_refused"])
        ClaimedPhone.objects.filter(user_id=user.pk).delete()
        if signs_in:  # what follows from the login waits until it has ended
            pending_login.note(self.request, user, redeemed.phone)
            note_verified(self.request, user, redeemed)
        else:
            signals.tell_verified(self.request, user, redeemed)
            note_check(self.request, PhoneNumber(phone))

    def get_login_stages(self) -> list[str]:
        """Return django-allauth's stages, with ours after those that verify a phone."""
        found: list[str] = list(super().get_login_stages())
        after = found.index(VERIFY_PHONE_STAGE) + 1 if VERIFY_PHONE_STAGE in found else 0
        return [*found[:after], PHONE_STAGE, *found[after:]]

    def get_user_by_phone(self, phone: str) -> AbstractBaseUser | None:
        """The user who has proven this number; nobody for one that was only typed."""
        try:
            number = PhoneNumber.parse(phone, current_site().verifier.policy.region)
        except InvalidPhoneError:
            return None
        return phones.owner_of(number.e164)

    def generate_phone_verification_code(self, *, user: AbstractBaseUser, phone: str) -> str:
        """No code, but a mark in its place: the code is made and kept by our verifier."""
        return f"{_MARK}{phone}"

    def send_verification_code_sms(self, user: AbstractBaseUser, phone: str, code: str, **kwargs: Any) -> None:
        """Send a code of ours, within the limits; by SMS, or whatever the site prefers that ends in a code."""
        self._send(phone)

    def send_unknown_account_sms(self, phone: str, **kwargs: Any) -> None:
        """Send a code all the same: known and unknown numbers look and take the same, and cost the same."""
        self._send(phone)

    def send_account_already_exists_sms(self, phone: str) -> None:
        """Send a code all the same. Who types it is told, and nobody else."""
        self._send(phone)

    # What our forms ask.

    @staticmethod
    def phone_of_mark(code: str | None) -> str | None:
        """The number that a mark stands for; None for a code of django-allauth's own."""
        return code[len(_MARK) :] if code and code.startswith(_MARK) else None

    def newest_begun(self) -> str | None:
        """The number to which a code went last, for this purpose."""
        own = [key for key in self.request.session.get(BEGUN, {}) if key.startswith(f"{self._purpose} ")]
        return own[-1].partition(" ")[2] if own else None

    def why_not_proven(self, phone: str, typed: str, user: AbstractBaseUser | None) -> str | None:
        """Judge a code as typed: None for the right one, else what to tell the visitor."""
        found = self.request.session.get(BEGUN, {}).get(f"{self._purpose} {phone}")
        if found is None:
            return self._texts.reasons[Reason.CLOSED]
        try:
            with joining_on_sqlite():
                told = prove(
                    current_site().verifier,
                    PendingVerification(*found),
                    PhoneNumber(phone),
                    self._purpose,
                    typed,
                    address=self._address,
                    subject=self._subject,
                )
        except StoreError as error:
            log.error("no code of django-allauth's login can be checked: %s", error)
            return self._texts.page["unavailable"]
        if isinstance(told, Outcome):
            return self._texts.refusal(told)
        owner = user or self.get_user_by_phone(phone)
        signs_in = not self.request.user.is_authenticated
        if signs_in and owner is not None and not account_policy.lets_in(owner, told):
            return self._texts.page["login_refused"]
        self.request.phone_verify_redeemed = told
        return None

    # Our own.

    @property
    def _purpose(self) -> str:
        return "change_phone" if self.request.user.is_authenticated else "login"

    @property
    def _subject(self) -> str:
        return str(self.request.user.pk) if self.request.user.is_authenticated else ""

    @property
    def _address(self) -> str | None:
        return call_address(current_site(), calls.page_call(self.request))

    @property
    def _texts(self) -> Texts:
        return texts_in(named(get_language() or "") or ENGLISH)

    def _proof_of(self, phone: str) -> Redeemed | None:
        redeemed: Redeemed | None = getattr(self.request, "phone_verify_redeemed", None)
        return redeemed if redeemed is not None and redeemed.phone.e164 == phone else None

    def _give(self, user: AbstractBaseUser, redeemed: Redeemed) -> None:
        """Give the user a number that was typed by this user: at sign-up, or for a change."""
        phone = redeemed.phone.e164
        typed = ClaimedPhone.objects.filter(user_id=user.pk, phone=phone)
        if not self.request.user.is_authenticated and not typed.exists():
            # The number was this user's when the login began, and was removed meanwhile.
            self._stop(self._texts.page["login_refused"])
        change = phones.give(user, redeemed, replaces=True, moves=False)
        if change is None:
            self._stop(str(self.error_messages["phone_taken"]))
        phones.tell(self.request, user, change, phone)

    def _send(self, phone: str) -> None:
        site, session, key = current_site(), self.request.session, f"{self._purpose} {phone}"
        kept = dict(session.get(BEGUN, {}))
        begun = kept.pop(key, None)
        try:
            with joining_on_sqlite():
                outcome, now = send(
                    site.verifier,
                    PhoneNumber(phone),
                    self._purpose,
                    begun=PendingVerification(*begun) if begun else NO_VERIFICATION,
                    locale=self._texts.language.tag,
                    address=self._address,
                    subject=self._subject,
                    by_client=True,
                )
        except StoreError as error:
            log.error("no code of django-allauth's login was sent: %s", error)
            self._stop(self._texts.page["unavailable"])
        if now != NO_VERIFICATION:
            kept[key] = [now.id, now.secret]
        session[BEGUN] = dict(list(kept.items())[-_MOST_BEGUN:])
        if outcome.reason is not None:
            self._stop(self._texts.refusal(outcome))

    def _stop(self, why: str) -> NoReturn:
        """Tell the visitor why, on the page that he came from."""
        self.add_message(self.request, messages.ERROR, message=why)
        raise ImmediateHttpResponse(HttpResponseRedirect(self.request.get_full_path()))
