"""One verification by hand: what is asked of and told to somebody at a terminal, step by step.

Time and input come in through `Terminal`, so that it runs as well in a test as on a screen. No code is shown.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol

from ..drivers.base import Driver, Polls
from ..model import Channel, CodeSource, DeliveryState, Outcome, Reason, Status, Verification
from ..phone import PhoneNumber
from ..routing import Router
from ..verifier import Verifier

#: Not `login`: what is tried here must not count as a visitor's wrong answers.
PURPOSE = "by_hand"

#: How often, in seconds, a provider is asked whether a call came (the store lets no more through), and how far a
#: message came.
_CALL_EVERY, _MESSAGE_EVERY = 3, 6

_AGAIN = ("r", "R")

_REASONS = {
    Reason.DESTINATION_NOT_ALLOWED: (
        "this number is refused: its region is not among PHONE_VERIFY_ALLOWED_REGIONS, it is no mobile, or no driver "
        "reaches it"
    ),
    Reason.NOT_CONFIGURED: "no channel is configured: set PHONE_VERIFY_SMS, or run phone-verify doctor",
    Reason.CHANNEL_UNAVAILABLE: "no driver is configured for this way, or it is closed for this number now",
    Reason.TOO_MANY_REQUESTS: "too many sends or wrong answers for this number, or for the site",
    Reason.DELIVERY_FAILED: "no provider took it; what they said stands above",
    Reason.PROVIDER_UNAVAILABLE: "the provider could not check the code now; the try is spent",
    Reason.CLOSED: "this verification is over",
}


class Terminal(Protocol):
    """A screen and a keyboard."""

    def say(self, text: str) -> None:
        """Show a line, or several."""
        ...

    def status(self, text: str) -> None:
        """Show a line in the place of the last status."""
        ...

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        """Return the next line typed, or None if there is none within this time. Raises EOFError when input is over."""
        ...

    def pause(self, seconds: float) -> str | None:
        """Wait for so long; return the line that was typed meanwhile, if any."""
        ...


def describe_cost(router: Router, phone: PhoneNumber, channel: Channel | None) -> str | None:
    """What will be done, where it leaves this machine and may cost money; None where it costs nothing."""
    for each in [channel] if channel else router.preferred:
        if drivers := router.route(each, phone):
            if all(isinstance(driver, Driver) and driver.is_local for driver in drivers):
                return None
            return f"{each} to {phone.hint}, through {_in_turn([driver.name for driver in drivers])}"
    return None


def confirm(terminal: Terminal, cost: str) -> bool:
    """Whether somebody at the terminal wants this to be sent."""
    answer = terminal.ask(f"Send {cost}? It may cost money. [y/N] ")
    return answer is not None and answer.strip().lower() in ("y", "yes")


@contextmanager
def troubles_told(terminal: Terminal) -> Iterator[None]:
    """What providers refuse is in the log, without secrets: within this it is shown as it happens, and once."""
    log = logging.getLogger("phone_verify")
    handler, propagate = _Said(terminal), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


class _Said(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.say(record.getMessage())


def verify(
    verifier: Verifier, phone: PhoneNumber, terminal: Terminal, *, channel: Channel | None, locale: str | None
) -> bool:
    """Whether the number was verified. Ended by KeyboardInterrupt or EOFError, which cancel it first."""
    terminal.say(f"Starting{f' by {channel}' if channel else ''}: {phone.hint}…")
    started = verifier.start(phone, purpose=PURPOSE, channel=channel, locale=locale)
    if started.verification is None or started.secret is None:
        terminal.say(f"Not sent: {_why(started)}.")
        return False
    hand = _Session(verifier, started.verification, started.secret, terminal)
    try:
        return hand.run()
    except (KeyboardInterrupt, EOFError):
        with suppress(KeyboardInterrupt):
            verifier.cancel(started.verification.id, started.secret)
        raise


class _Session:
    """A verification that is under way."""

    def __init__(self, verifier: Verifier, record: Verification, secret: str, terminal: Terminal) -> None:
        self._verifier, self._record, self._secret, self._terminal = verifier, record, secret, terminal
        self._delivery: DeliveryState | None = None
        self._may_tell_delivery = True

    def run(self) -> bool:
        """Whether it ends verified."""
        self._tell()
        waited = 0
        while self._record.state in (Status.PENDING, Status.SENT):
            typed = self._typed()
            if typed is None:
                waited += 1
                self._look(waited)
            elif typed.strip() in _AGAIN:
                self._again()
            elif typed.strip() and self._record.holder is not CodeSource.NONE:
                self._check(typed)
        return self._over()

    def _typed(self) -> str | None:
        """What was typed within a second."""
        if self._record.holder is not CodeSource.NONE:
            return self._terminal.ask("Type the code (r: send again, Ctrl-C: give up): ", 1)
        self._terminal.status(f"Waiting for the call… {_clock(self._record)} (r: another number, Ctrl-C: give up)")
        return self._terminal.pause(1)

    def _tell(self) -> None:
        """What was sent, and what to do now."""
        record, say = self._record, self._terminal.say
        self._delivery, self._may_tell_delivery = None, True
        unclear = record.status is Status.PENDING
        way = f"by {record.channel} through {record.driver}"
        life = f"It is good for {_clock(record)}."
        if record.holder is CodeSource.NONE and record.line is not None:
            say(f"Call this number from {record.phone.hint}, {way}. It costs nothing, nobody answers. {life}")
            self._tell_line(record.line)
            if not isinstance(self._verifier.drivers.get(record.driver), Polls):
                say(
                    f"{record.driver} tells of calls by webhook only, and no webhook reaches this command. The call "
                    "shows here if the site runs on the same store and keys, and its address stands in the cabinet."
                )
            return
        say(f"{'Perhaps sent' if unclear else 'Sent'} {way}. {life} Tries: {record.attempts_left}.")
        if unclear:
            say("The provider's answer was lost or unclear: what was sent may arrive, and then it works.")
        if record.line is not None:
            say(f"The message is held back until {record.phone.hint} has called this number:")
            self._tell_line(record.line)
        if record.channel is Channel.FLASH_CALL:
            digits = f"the last {record.code_length} digits" if record.code_length else "the last digits"
            begins = f", which begins with {record.caller_hint}" if record.caller_hint else ""
            say(f"The phone rings; do not answer. The code is {digits} of the calling number{begins}.")
        elif record.code_length:
            say(f"The code has {record.code_length} digits.")

    def _tell_line(self, line: PhoneNumber) -> None:
        self._terminal.say(f"    {line.e164}\n{_qr(f'tel:{line.e164}')}")

    def _check(self, typed: str) -> None:
        outcome = self._verifier.check(self._record.id, self._secret, typed)
        self._record = outcome.verification or self._record
        left = f"Tries left: {self._record.attempts_left}."
        match outcome.reason:
            case Reason.MALFORMED_CODE:
                length = self._record.code_length
                self._terminal.say(f"A code has {length or 'several'} digits and nothing else; no try was spent.")
            case Reason.WRONG_CODE:
                self._terminal.say(f"That is not the code. {left}")
            case None | Reason.CLOSED:
                pass
            case _:
                self._terminal.say(f"Not checked: {_why(outcome)}. {left}")

    def _again(self) -> None:
        self._terminal.say("Sending again…")
        outcome = self._verifier.resend(self._record.id, self._secret)
        self._record = outcome.verification or self._record
        if outcome.ok:
            self._tell()
        elif outcome.reason is not Reason.CLOSED:
            self._terminal.say(f"Not sent again: {_why(outcome)}.")

    def _look(self, waited: int) -> None:
        """See how it stands after so many seconds, and ask the provider from time to time."""
        if self._record.holder is CodeSource.NONE and waited % _CALL_EVERY == 0:
            outcome = self._verifier.poll(self._record.id, self._secret)
        else:
            outcome = self._verifier.get(self._record.id, self._secret)
        self._record = outcome.verification or self._record
        if self._may_tell_delivery and waited % _MESSAGE_EVERY == 0:
            self._ask_delivery()

    def _ask_delivery(self) -> None:
        event = self._verifier.delivery(self._record.id)
        # A provider that cannot say is not asked again: what it said instead is in the log already.
        self._may_tell_delivery = event is not None and event.state is DeliveryState.OPEN
        if event is not None and event.state is not self._delivery:
            self._delivery = event.state
            said = f" ({event.said})" if event.said else ""
            self._terminal.say(f"{self._record.driver} says of the message: {event.state}{said}.")

    def _over(self) -> bool:
        record = self._record
        match record.state:
            case Status.VERIFIED:
                self._terminal.say(
                    f"Verified: {record.phone.hint}, by {record.channel} through {record.driver} "
                    f"(assurance: {record.assurance})."
                )
            case Status.EXPIRED:
                self._terminal.say("Not verified: the time is over.")
            case Status.EXHAUSTED:
                self._terminal.say("Not verified: no tries are left.")
            case state:
                self._terminal.say(f"Not verified: {state}.")
        return record.state is Status.VERIFIED


def _why(outcome: Outcome) -> str:
    why = _REASONS.get(outcome.reason, str(outcome.reason)) if outcome.reason else "nothing is known of it"
    return f"{why}. Try again in {_spoken(outcome.retry_after)}" if outcome.retry_after else why


def _clock(record: Verification) -> str:
    """The time that is left, as minutes and seconds."""
    seconds = max(0, math.ceil((record.expires_at - record.read_at).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02d}"


def _spoken(span: timedelta) -> str:
    seconds = math.ceil(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"


def _in_turn(names: Sequence[str]) -> str:
    return ", then, if it refuses, ".join(names)


def _qr(text: str) -> str:
    import segno

    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue()
