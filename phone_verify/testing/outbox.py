"""An outbox that collects messages instead of sending them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import overload
from urllib.parse import urlsplit

from ..drivers.options import is_loopback
from ..exchange import HttpRequest, HttpResponse, Notice, Request
from ..phone import PhoneNumber
from ..transports.base import intercepted


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One SMS that the site sent: the full number in E.164, the text, the code in it."""

    phone: str = field(repr=False)
    text: str = field(repr=False)
    code: str = field(repr=False)
    #: The number as far as a report may show it.
    hint: str


class Outbox(Sequence[SentMessage]):
    """All messages of `console://` drivers since it was opened, the oldest first.

    A request to a provider on another host raises AssertionError: a test should not send a real
    SMS. One to this machine passes, because it goes to a sandbox.
    """

    def __init__(self) -> None:
        self._sent: list[SentMessage] = []

    @contextmanager
    def opened(self) -> Iterator[Outbox]:
        """Send the messages of every site of this process to this outbox within `with`."""
        with intercepted(self._catch):
            yield self

    @overload
    def __getitem__(self, index: int) -> SentMessage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SentMessage]: ...
    def __getitem__(self, index: int | slice) -> SentMessage | Sequence[SentMessage]:
        return self._sent[index]

    def __len__(self) -> int:
        return len(self._sent)

    def __repr__(self) -> str:
        return f"<Outbox of {len(self)}: {', '.join(message.hint for message in self)}>"

    def to(self, phone: str | PhoneNumber) -> Sequence[SentMessage]:
        """Return the messages to this phone, the oldest first."""
        number = _number(phone).e164
        return [message for message in self if message.phone == number]

    def last_code(self, phone: str | PhoneNumber | None = None) -> str:
        """Return the newest code, or the newest to this phone. Raises AssertionError without
        one.
        """
        found = self if phone is None else self.to(phone)
        if found:
            return found[-1].code
        nobody = "no code was sent" if phone is None else f"no code was sent to {_number(phone).hint}"
        others = f"; there are {len(self)} to others" if self else "; does the site have sms = console:// in its tests?"
        raise AssertionError(nobody + others)

    def clear(self) -> None:
        """Remove all messages."""
        self._sent.clear()

    def _catch(self, request: Request) -> HttpResponse | None:
        if isinstance(request, Notice):
            hint = PhoneNumber(request.phone).hint if request.phone else ""
            self._sent.append(SentMessage(request.phone, request.message or request.text, request.code, hint))
            return HttpResponse(200)
        if isinstance(request, HttpRequest) and is_loopback(urlsplit(request.url).hostname or ""):
            return None
        called = request.host if isinstance(request, HttpRequest) else "its own function"
        raise AssertionError(
            f"this test has an outbox, but the site contacts {called}; set its channels to console:// in tests"
        )


def _number(phone: str | PhoneNumber) -> PhoneNumber:
    return phone if isinstance(phone, PhoneNumber) else PhoneNumber.parse(phone)
