"""Interactive verification at a terminal (used by `phone-verify send`).

Time and input come through `Terminal`, so tests can replace them. Codes are never shown.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from typing import Protocol

from ..drivers.base import Driver, Polls
from ..i18n.texts import PAGE, dial_help, spoken
from ..lines import claim_of, served_by
from ..model import Channel, CodeSource, DeliveryState, Outcome, Reason, Started, Status, Verification
from ..phone import PhoneNumber
from ..routing import Router
from ..verifier.blocking import Verifier
from .output import Mark

#: Not `login`: attempts made here must not count as a visitor's wrong answers.
PURPOSE = "by_hand"

#: How often, in seconds, a provider is polled for a call (the store allows no more), and for the
#: delivery of a message.
_CALL_EVERY, _MESSAGE_EVERY = 3, 6

_AGAIN = ("r", "R")

#: What was done, by channel; an inbound call shows a number instead.
_DONE = {
    Channel.SMS: "SMS sent",
    Channel.FLASH_CALL: "Flash call placed",
    Channel.VOICE: "Voice call placed",
    Channel.TELEGRAM: "Code sent by Telegram",
    Channel.WHATSAPP: "Code sent by WhatsApp",
}

_REASONS = {
    Reason.DESTINATION_NOT_ALLOWED: (
        "this number is not allowed: its region is not in PHONE_VERIFY_ALLOWED_REGIONS, it is not a mobile "
        "number, or no driver reaches it"
    ),
    Reason.NOT_CONFIGURED: "no channel is configured: set PHONE_VERIFY_SMS, or run phone-verify doctor",
    Reason.CHANNEL_UNAVAILABLE: "this channel is not configured (or temporarily blocked for this number)",
    Reason.TOO_MANY_REQUESTS: "too many sends or wrong answers for this number, or for the site",
    Reason.DELIVERY_FAILED: "all providers refused it (see above)",
    Reason.SEND_REFUSED: "the site's before_send refused it",
    Reason.HOOK_FAILED: "the site's before_send failed (see above)",
    Reason.SERVICE_SUSPENDED: "a cap or the balance of the service is used up; run phone-verify ledger caps",
    Reason.UNAVAILABLE: "the ledger does not answer (see above)",
    Reason.PROVIDER_UNAVAILABLE: "the provider could not check the code; the attempt was used",
    Reason.CLOSED: "this verification has ended",
}


class Terminal(Protocol):
    """A screen and a keyboard."""

    def say(self, text: str, mark: Mark | None = None) -> None:
        """Show a line, or several, with a symbol in front."""
        ...

    def busy(self, text: str) -> AbstractContextManager[None]:
        """Show within `with` that the program is working."""
        ...

    def status(self, text: str) -> None:
        """Replace the last status line."""
        ...

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        """Return the next input line, or None after this many seconds. Raises EOFError at the end
        of input.
        """
        ...

    def pause(self, seconds: float) -> str | None:
        """Wait this many seconds; return the line entered meanwhile, if any."""
        ...


def describe_cost(router: Router, phone: PhoneNumber, channel: Channel | None) -> str | None:
    """Describe what will be sent if it leaves this machine and may cost money; None if it is free."""
    for each in [channel] if channel else router.preferred:
        if drivers := router.route(each, phone):
            if all(isinstance(driver, Driver) and driver.is_local for driver in drivers):
                return None
            what = f"call from {phone.hint}" if each is Channel.INBOUND_CALL else f"{each.label} to {phone.hint}"
            return f"{what} via {_with_fallbacks([driver.name for driver in drivers])}"
    return None


def confirm(terminal: Terminal, cost: str) -> bool:
    """Return whether the user agrees to send."""
    answer = terminal.ask(f"{cost[:1].upper()}{cost[1:]}. This may cost money. Continue? [y/N] ")
    return answer is not None and answer.strip().lower() in ("y", "yes")


@contextmanager
def troubles_told(terminal: Terminal) -> Iterator[None]:
    """Show each warning of the log, such as a provider's refusal, once as it occurs; it contains no
    secrets.
    """
    log = logging.getLogger("phone_verify")
    handler, propagate = _TerminalHandler(terminal), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


class _TerminalHandler(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.say(record.getMessage(), Mark.WARNING)


def verify(
    verifier: Verifier, phone: PhoneNumber, terminal: Terminal, *, channel: Channel | None, locale: str | None
) -> bool:
    """Verify the number; return whether it succeeded. KeyboardInterrupt and EOFError first cancel
    the verification.
    """
    with terminal.busy(f"Starting verification of {phone.hint}{f' by {channel.label}' if channel else ''}…"):
        started = verifier.start(phone, purpose=PURPOSE, channel=channel, locale=locale)
    if not isinstance(started, Started):
        terminal.say(f"Not sent: {_why(started, channel)}.", Mark.ERROR)
        return False
    session = _Session(verifier, started.verification, started.secret, terminal)
    try:
        return session.run()
    except (KeyboardInterrupt, EOFError):
        with suppress(KeyboardInterrupt):
            verifier.cancel(started.verification.id, started.secret)
        raise


class _Session:
    """A verification in progress."""

    def __init__(self, verifier: Verifier, record: Verification, secret: str, terminal: Terminal) -> None:
        self._verifier, self._record, self._secret, self._terminal = verifier, record, secret, terminal
        self._delivery: DeliveryState | None = None
        self._can_query_delivery = True

    def run(self) -> bool:
        """Run to the end; return whether the number was verified."""
        self._show_instructions()
        waited = 0
        while self._record.state in (Status.PENDING, Status.SENT):
            typed = self._read_line()
            if typed is None:
                waited += 1
                self._refresh(waited)
            elif typed.strip() in _AGAIN:
                self._resend()
            elif typed.strip() and self._record.code_source is not CodeSource.NONE:
                self._check(typed)
        return self._finish()

    def _read_line(self) -> str | None:
        """Return the line entered within a second."""
        if self._record.code_source is not CodeSource.NONE:
            return self._terminal.ask("Enter the code (r: resend, Ctrl-C: cancel): ", 1)
        self._terminal.status(f"Waiting for the call… {_clock(self._record)} (r: another number, Ctrl-C: cancel)")
        return self._terminal.pause(1)

    def _show_instructions(self) -> None:
        """Show what was sent, and what to do next."""
        record, say = self._record, self._terminal.say
        self._delivery, self._can_query_delivery = None, True
        unclear = record.status is Status.PENDING
        expires = f"Expires in {_clock(record)}"
        claim = claim_of(record)
        if claim is not None and claim.line is not None and record.channel is Channel.INBOUND_CALL:
            say(f"Call this number from {record.phone.hint} (via {claim.driver}):")
            self._show_line(claim.line)
            say(f"{expires}.")
            if not isinstance(self._verifier.drivers.get(claim.driver), Polls):
                say(
                    f"{claim.driver} reports calls by webhook only, and webhooks do not reach this command. The call "
                    "shows here if the site uses the same store and keys, and its webhook URL is set at the provider."
                )
            return
        done = f"{_DONE.get(record.channel, 'Sent')} to {record.phone.hint} via {record.driver}"
        if unclear:
            say(
                f"{done}, possibly: the response was lost or unclear. It may still arrive, and will work.", Mark.WARNING
            )
        else:
            say(f"{done}.", Mark.OK)
        say(f"{expires}, {_attempts(record)}.")
        if record.line is not None:
            say(f"The message is held back until {record.phone.hint} has called this number:")
            self._show_line(record.line)
        if record.channel is Channel.FLASH_CALL:
            digits = f"the last {record.code_length} digits" if record.code_length else "the last digits"
            begins = f", which begins with {record.caller_hint}" if record.caller_hint else ""
            say(f"The phone will ring; don't answer. The code is {digits} of the caller's number{begins}.")
        elif record.code_length:
            say(f"The code has {record.code_length} digits.")

    def _show_line(self, line: PhoneNumber) -> None:
        announced = self._verifier.flows.router.announces(self._record.driver)
        self._terminal.say(
            f"    {spoken(line)}\n{_qr(f'tel:{line.e164}')}\n{PAGE[dial_help(line, announced=announced)]}"
        )

    def _check(self, typed: str) -> None:
        with self._terminal.busy("Checking the code…"):
            outcome = self._verifier.check(self._record.id, self._secret, typed)
        self._record = outcome.verification or self._record
        left = f"{_attempts(self._record)} left"
        match outcome.reason:
            case Reason.MALFORMED_CODE:
                length = self._record.code_length
                digits = f"exactly {length} digits" if length else "digits only"
                self._terminal.say(f"Enter {digits} (no attempt used).", Mark.WARNING)
            case Reason.WRONG_CODE:
                self._terminal.say(f"Incorrect code, {left}.", Mark.ERROR)
            case None | Reason.CLOSED:
                pass
            case _:
                self._terminal.say(f"Not checked: {_why(outcome)}. {left}.", Mark.WARNING)

    def _resend(self) -> None:
        with self._terminal.busy("Resending…"):
            outcome = self._verifier.resend(self._record.id, self._secret)
        self._record = outcome.verification or self._record
        if outcome.ok:
            self._show_instructions()
        elif outcome.reason is not Reason.CLOSED:
            early = f"wait {_format_wait(outcome.retry_after)} before resending" if outcome.retry_after else ""
            too_early = outcome.reason is Reason.TOO_MANY_REQUESTS and early
            self._terminal.say(f"Not resent: {too_early or _why(outcome)}.", Mark.WARNING)

    def _refresh(self, waited: int) -> None:
        """Refresh the record after this many seconds, and poll the provider at intervals."""
        if claim_of(self._record) is not None and waited % _CALL_EVERY == 0:
            outcome = self._verifier.poll(self._record.id, self._secret)
        else:
            outcome = self._verifier.get(self._record.id, self._secret)
        self._record = outcome.verification or self._record
        if self._can_query_delivery and waited % _MESSAGE_EVERY == 0:
            self._query_delivery()

    def _query_delivery(self) -> None:
        event = self._verifier.delivery(self._record.id)
        # After a failed query the provider is not queried again: the log has already shown the
        # error.
        self._can_query_delivery = event is not None and event.state is DeliveryState.OPEN
        if event is not None and event.state is not self._delivery:
            self._delivery = event.state
            said = f" ({event.said})" if event.said else ""
            self._terminal.say(f"Delivery status ({self._record.driver}): {event.state}{said}.", Mark.NOTE)

    def _finish(self) -> bool:
        record = self._record
        match record.state:
            case Status.VERIFIED:
                channel, driver = served_by(record)
                how = f"by {channel.label} via {driver} (assurance: {record.assurance})"
                self._terminal.say(f"Verified {record.phone.hint} {how}.", Mark.OK)
            case Status.EXPIRED:
                self._terminal.say("Not verified: the verification has expired.", Mark.ERROR)
            case Status.EXHAUSTED:
                self._terminal.say("Not verified: no attempts left.", Mark.ERROR)
            case state:
                self._terminal.say(f"Not verified: {state}.", Mark.ERROR)
        return record.state is Status.VERIFIED


def _why(outcome: Outcome, channel: Channel | None = None) -> str:
    why = _REASONS.get(outcome.reason, str(outcome.reason)) if outcome.reason else "unknown reason"
    if outcome.reason is Reason.CHANNEL_UNAVAILABLE and channel:
        why = f"{channel.label} is not configured (or temporarily blocked for this number)"
    return f"{why}. Try again in {_format_wait(outcome.retry_after)}" if outcome.retry_after else why


def _attempts(record: Verification) -> str:
    n = record.attempts_left
    return f"{n} attempt{'' if n == 1 else 's'}"


def _clock(record: Verification) -> str:
    """Return the remaining time as minutes and seconds."""
    seconds = max(0, math.ceil((record.expires_at - record.read_at).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02d}"


def _format_wait(span: timedelta) -> str:
    seconds = math.ceil(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"


def _with_fallbacks(names: Sequence[str]) -> str:
    return ", falling back to ".join(names)


def _qr(text: str) -> str:
    import segno

    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue()
