"""The device model: a phone that receives codes."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django_otp.models import CooldownMixin, Device, DeviceManager, ThrottlingMixin, TimestampMixin

from phone_verify import (
    Channel,
    InvalidPhoneError,
    Outcome,
    PhoneNumber,
    StoreError,
    Verification,
)
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, send_code, verify_code
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import Texts, spoken, texts_in
from phone_verify.model import Redeemed

from .. import rights, users
from ..primary import PrimaryManager
from ..site import current_site
from ..store import joining_on_sqlite
from . import challenges, current, first_factor

log = logging.getLogger("phone_verify")

PURPOSE = "second_factor"

_SAME_PHONE = _("You signed in with this phone, so it can't be the second factor too. Use another device.")
_ELSEWHERE = _("No code was requested in this browser. Request one here, then enter it here.")
NO_SESSION = (
    "A phone device sends and checks codes only while a request is served, for the session of that request. Add "
    "'phone_verify_django.otp.middleware.PhoneFactorMiddleware' to MIDDLEWARE, after "
    "'django_otp.middleware.OTPMiddleware'; outside of requests a device sends and checks nothing."
)


class ChallengeError(Exception):
    """No code was sent. The text explains the reason to the user."""


class _PhoneDevices(PrimaryManager["PhoneDevice"], DeviceManager):  # type: ignore[misc]
    """Devices, read from the database that is written: a replica may not know the code of this session yet."""


class PhoneDevice(TimestampMixin, CooldownMixin, ThrottlingMixin, Device):  # type: ignore[misc]
    """A phone as a second factor: a code is sent by SMS, call or messenger, and the user enters it.

    Codes are created, stored and compared as everywhere in this library; the row holds no code. A
    code counts only in the session that requested it (see `challenges`). The site's quotas and limits
    for wrong answers apply in addition to django-otp's cool-down and throttling.
    """

    # With its own name for the way back: django-two-factor-auth has a model `PhoneDevice` too.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="phone_verify_devices",
        help_text=Device._meta.get_field("user").help_text,
    )
    phone = models.CharField(_("phone number"), max_length=16, help_text=_("With its country code, like +98…"))
    challenges = models.JSONField(blank=True, default=list, editable=False)

    objects: ClassVar[models.Manager[PhoneDevice]] = _PhoneDevices()

    class Meta:
        verbose_name = _("phone device")
        verbose_name_plural = _("phone devices")
        constraints = (models.UniqueConstraint(fields=["user", "phone"], name="phone_verify_otp_one_device_a_phone"),)

    def __str__(self) -> str:
        return f"phone device {self.pk} of user {self.user_id}"  # not the number: this text is logged

    def clean(self) -> None:
        """Parse the number as typed."""
        super().clean()
        if type(self)._default_manager.filter(pk=self.pk, phone=self.phone).exists():
            return  # stored before: today's numbering plan does not matter
        try:
            self.phone = PhoneNumber.parse(self.phone, current_site().verifier.policy.region).e164
        except InvalidPhoneError as error:
            raise ValidationError({"phone": str(error)}) from None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. The default name is the masked number.

        Raises `InvalidPhoneError` for a new device without a valid number.
        """
        if self._state.adding:
            self.phone = PhoneNumber.parse(self.phone, current_site().verifier.policy.region).e164
        self.name: str = self.name or self.number.hint
        super().save(*args, **kwargs)

    @property
    def number(self) -> PhoneNumber:
        """The number as a value that is masked in logs."""
        return PhoneNumber(self.phone)

    def generate_challenge(self) -> str:
        """Send a code, or resend the current one, and return a text with the destination or the time to wait.

        Raises `ChallengeError` if nothing can be sent.
        """
        texts, session = _texts(), current.session()
        if session is None:
            raise ChallengeError(NO_SESSION)
        if first_factor.is_used_in(session, self.number):
            raise ChallengeError(_SAME_PHONE)
        allowed, why = self.generate_is_allowed()
        if not allowed and not self._has_ended(session):
            return texts.wait(why["next_generation_at"] - timezone.now())
        try:
            with joining_on_sqlite():
                outcome = self._send(session, texts)
        except StoreError as error:
            log.error("a second factor could not be sent: %s", error)
            raise ChallengeError(texts.page["unavailable"]) from None
        if outcome.verification is None or outcome.reason is not None:
            raise ChallengeError(texts.refusal(outcome))
        self.cooldown_set()
        return _challenge_text(outcome.verification, texts)

    def verify_is_allowed(self) -> tuple[bool, dict[str, Any] | None]:
        """Return whether a code can be tried now.

        Not if this phone signed the session in, or if only other sessions requested a code.
        """
        session = current.session()
        if session is None:
            return False, {"error_message": NO_SESSION}
        if first_factor.is_used_in(session, self.number):
            return False, {"error_message": _SAME_PHONE}
        if self.challenges and self._pending(session) == NO_VERIFICATION:
            return False, {"error_message": _ELSEWHERE}
        allowed: tuple[bool, dict[str, Any] | None] = super().verify_is_allowed()
        return allowed

    def verify_token(self, token: object) -> bool:
        """Check a code as typed, in the session that requested it. A right code is accepted once."""
        session = current.session()
        if session is None:
            log.error("a second factor could not be checked: %s", NO_SESSION)
            return False
        # Without a challenge no code is compared, so django-otp's throttling has nothing to count.
        if not self.verify_is_allowed()[0] or self._pending(session) == NO_VERIFICATION:
            return False
        try:
            with joining_on_sqlite():
                is_right = self._is_right(session, str(token))
        except StoreError as error:
            log.error("a second factor could not be checked: %s", error)
            return False
        if not is_right:
            self.throttle_increment()
            return False
        self.challenges = challenges.forget(session, self.pk, self.challenges)
        self.throttle_reset(commit=False)
        self.cooldown_reset(commit=False)
        self.set_last_used_timestamp()
        return True

    def get_cooldown_duration(self) -> float:
        """Return the setting `resend_after`, in seconds."""
        return current_site().verifier.policy.resend_after.total_seconds()

    def get_throttle_factor(self) -> float:
        """Return 1: after wrong codes the next can be tried in 1, 2, 4, 8… seconds."""
        return 1

    def _send(self, session: SessionBase, texts: Texts) -> Outcome:
        before = self._pending(session)
        outcome, now = send_code(
            current.site().verifier,
            self.number,
            PURPOSE,
            begun=before,
            locale=texts.language.tag,
            address=current.address(),
            subject=str(self.user_id),
            # Until a device is confirmed, its user chooses the number.
            by_client=not self.confirmed,
            client=current.facts(),
        )
        if now != before:
            self.challenges = challenges.keep(session, self.pk, self.challenges, now)
        return outcome

    def _has_ended(self, session: SessionBase) -> bool:
        """Return whether the code that this session requested can no longer be used: another needs no wait."""
        pending = self._pending(session)
        try:
            with joining_on_sqlite():
                record = current_site().verifier.get(pending.id, pending.secret).verification
        except StoreError:
            return False
        return record is not None and not record.open

    def _pending(self, session: SessionBase) -> PendingVerification:
        return challenges.pending_in(session, self.pk, self.challenges)

    def _is_right(self, session: SessionBase, typed: str) -> bool:
        # If the number was changed after the code was sent, the code is wrong.
        redeemed = verify_code(
            current_site().verifier,
            self._pending(session),
            self.number,
            PURPOSE,
            typed,
            address=current.address(),
            subject=str(self.user_id),
        )
        user = users.load(self.user_id) if isinstance(redeemed, Redeemed) else None
        return user is not None and isinstance(redeemed, Redeemed) and rights.counts_for(user, redeemed)


def _texts() -> Texts:
    return texts_in(named(get_language() or "") or ENGLISH)


def _challenge_text(record: Verification, texts: Texts) -> str:
    """Return the text with the destination of the code and what to do."""
    if record.line is not None:
        return f"{texts.page['lead_held']} {record.phone.hint}: {spoken(record.line)}"
    if record.channel is Channel.FLASH_CALL:
        return f"{texts.page['lead_flash_call'].format(number=record.phone.hint)} {texts.page['caller_unknown']}"
    return f"{texts.page['lead_code']} {record.phone.hint}"
