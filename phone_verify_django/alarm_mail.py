"""E-mails of the ledger's alarms."""

from __future__ import annotations

import logging
import threading

from django.conf import settings
from django.core.mail import mail_admins, send_mail

from phone_verify.events.record import FilteredListener, VerificationEvent
from phone_verify.events.signals import ALARM

from . import app_settings

log = logging.getLogger("phone_verify")


def _on_event(happened: VerificationEvent) -> None:
    """E-mail an alarm to the addresses of the setting `alarm_emails`, or else to ADMINS.

    In a thread: a mail server may take longer than the request that reached the limit.
    """
    if happened.alarm is not None:
        subject = f"phone_verify: {happened.alarm.limit} of {happened.alarm.service} at {happened.alarm.level} %"
        threading.Thread(target=_mail, args=(subject, f"{happened.alarm}\n"), name="phone_verify_alarm").start()


#: The listener of the core's events.
listener = FilteredListener(_on_event, lambda verb, _: verb == ALARM)


def _mail(subject: str, text: str) -> None:
    recipients = app_settings.account_settings().alarm_emails
    try:
        if recipients is None:
            mail_admins(subject, text)
        else:
            send_mail(f"{settings.EMAIL_SUBJECT_PREFIX}{subject}", text, settings.SERVER_EMAIL, list(recipients))
    except Exception:  # a mail server may fail in any way, and the alarm is in the log as well
        log.exception("the e-mail of an alarm could not be sent")
