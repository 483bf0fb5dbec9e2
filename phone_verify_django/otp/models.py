"""The device: a phone that gets a code."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django_otp.models import CooldownMixin, Device, ThrottlingMixin, TimestampMixin

from phone_verify import (
    Channel,
    InvalidPhoneError,
    Outcome,
    PhoneNumber,
    StoreError,
    Verification,
)
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, prove, send
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import Texts, spoken, texts_in
from phone_verify.model import Redeemed

from .. import rights
from ..site import current_site
from ..store import joining_on_sqlite
from . import challenges, current, first_factor

log = logging.getLogger("phone_verify")

PURPOSE = "second_factor"

_SAME_PHONE = _("You have signed in by this phone, so it cannot be the second factor too. Use another device.")
_ELSEWHERE = _("No code was requested in this browser. Request one here, then enter it here.")
NO_SESSION = (
    "A phone device sends and checks codes only while a request is served, for the session of that request. Add "
    "'phone_verify_django.otp.middleware.PhoneFactorMiddleware' to MIDDLEWARE, after "
    "'django_otp.middleware.OTPMiddleware'; outside of requests a device sends and checks nothing."
)


class ChallengeError(Exception):
    """No code was sent; the text tells the user why."""


class PhoneDevice(TimestampMixin, CooldownMixin, ThrottlingMixin, Device):  # type: ignore[misc]
    """A phone as a second factor: a code comes by SMS, call or messenger, and the user types it.

    Codes are made, kept and compared as everywhere in this library: the row holds no code. A code
    counts only in the session that requested it: see `challenges`. The site's quotas and limits of
    wrong answers apply in addition to django-otp's cool-down and throttling.
    """

    phone = models.CharField(_("phone number"), max_length=16, help_text=_("With its country code, like +98…"))
    challenges = models.JSONField(blank=True, default=list, editable=False)

    class Meta:
        verbose_name = _("phone device")
        verbose_name_plural = _("phone devices")
        constraints = (models.UniqueConstraint(fields=["user", "phone"], name="phone_verify_otp_one_device_a_phone"),)

    def __str__(self) -> str:
        return f"phone device {self.pk} of user {self.user_id}"  # not the number: this text goes into logs

    def clean(self) -> None:
        """Read the number as it was typed."""
        super().clean()
        try:
            self.phone = PhoneNumber.parse(self.phone, current_site().verifier.policy.region).e164
        except InvalidPhoneError as error:
            raise ValidationError({"phone": str(error)}) from None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a device without a name is called by as much of its number as may be shown.

        Raises `InvalidPhoneError` for a new device whose number is none.
        """
        if self._state.adding:
            self.phone = PhoneNumber.parse(self.phone, current_site().verifier.policy.region).e164
        self.name: str = self.name or self.number.hint
        super().save(*args, **kwargs)

    @property
    def number(self) -> PhoneNumber:
        """The number, as a value that does not show in logs."""
        return PhoneNumber(self.phone)

    def generate_challenge(self) -> str:
        """Send a code, or the same once more while it is good; the text tells the user where it went, or when to try.

        Raises `ChallengeError` where nothing can be sent.
        """
        texts, session = _texts(), current.session()
        if session is None:
            raise ChallengeError(NO_SESSION)
        if first_factor.is_used_in(session, self.number):
            raise ChallengeError(_SAME_PHONE)
        allowed, why = self.generate_is_allowed()
        if not allowed:
            return texts.wait(why["next_generation_at"] - timezone.now())
        try:
            with joining_on_sqlite():
                outcome = self._sent(session, texts)
        except StoreError as error:
            log.error("no second factor was sent: %s", error)
            raise ChallengeError(texts.page["unavailable"]) from None
        if outcome.verification is None or outcome.reason is not None:
            raise ChallengeError(_why_not(outcome, texts))
        self.cooldown_set()
        return _told(outcome.verification, texts)

    def verify_is_allowed(self) -> tuple[bool, dict[str, Any] | None]:
        """Return whether a code may be tried now.

        Not where this phone signed the session in, nor where only other sessions requested a code.
        """
        session = current.session()
        if session is None:
            return False, {"error_message": NO_SESSION}
        if first_factor.is_used_in(session, self.number):
            return False, {"error_message": _SAME_PHONE}
        if self.challenges and self._begun(session) == NO_VERIFICATION:
            return False, {"error_message": _ELSEWHERE}
        allowed: tuple[bool, dict[str, Any] | None] = super().verify_is_allowed()
        return allowed

    def verify_token(self, token: object) -> bool:
        """Check a code as typed, in the session that requested it. A right one is accepted once."""
        session = current.session()
        if session is None:
            log.error("no second factor can be checked: %s", NO_SESSION)
            return False
        # Without a challenge no code is compared, so django-otp's throttling has nothing to count.
        if not self.verify_is_allowed()[0] or self._begun(session) == NO_VERIFICATION:
            return False
        try:
            with joining_on_sqlite():
                proven = self._is_proven_by(session, str(token))
        except StoreError as error:
            log.error("no second factor can be checked: %s", error)
            return False
        if not proven:
            self.throttle_increment()
            return False
        self.challenges = challenges.forget(session, self.pk, self.challenges)
        self.throttle_reset(commit=False)
        self.cooldown_reset(commit=False)
        self.set_last_used_timestamp()
        return True

    def get_cooldown_duration(self) -> float:
        """The `resend_after` of `PHONE_VERIFY`, in seconds."""
        return current_site().verifier.policy.resend_after.total_seconds()

    def get_throttle_factor(self) -> float:
        """One: after a wrong code the next may be tried in 1, 2, 4, 8… seconds."""
        return 1

    def _sent(self, session: SessionBase, texts: Texts) -> Outcome:
        before = self._begun(session)
        outcome, begun = send(
            current_site().verifier,
            self.number,
            PURPOSE,
            begun=before,
            locale=texts.language.tag,
            address=current.address(),
            subject=str(self.user_id),
            # Until a device is confirmed, its user decides which number it has.
            by_client=not self.confirmed,
        )
        if begun != before:
            self.challenges = challenges.keep(session, self.pk, self.challenges, begun)
        return outcome

    def _begun(self, session: SessionBase) -> PendingVerification:
        return challenges.begun_in(session, self.pk, self.challenges)

    def _is_proven_by(self, session: SessionBase, typed: str) -> bool:
        # The number may have been changed since the code was sent: then it is a wrong one.
        redeemed = prove(
            current_site().verifier,
            self._begun(session),
            self.number,
            PURPOSE,
            typed,
            address=current.address(),
            subject=str(self.user_id),
        )
        return isinstance(redeemed, Redeemed) and rights.counts_for(self.user, redeemed)


def _texts() -> Texts:
    return texts_in(named(get_language() or "") or ENGLISH)


def _told(record: Verification, texts: Texts) -> str:
    """Where the code went, and what to do."""
    if record.line is not None:
        return f"{texts.page['lead_held']} {record.phone.hint}: {spoken(record.line)}"
    if record.channel is Channel.FLASH_CALL:
        return f"{texts.page['lead_flash_call']} {record.phone.hint}. {texts.page['caller_unknown']}"
    return f"{texts.page['lead_code']} {record.phone.hint}"


def _why_not(outcome: Outcome, texts: Texts) -> str:
    if outcome.retry_after is not None:
        return texts.wait(outcome.retry_after)
    return texts.refusal(outcome)
