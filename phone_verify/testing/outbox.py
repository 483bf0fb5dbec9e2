"""An outbox: what a site would have sent, in place of sending it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import overload
from urllib.parse import urlsplit

from ..drivers.options import is_loopback
from ..exchange import HttpRequest, HttpResponse, Notice
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

    A request to a provider somewhere else is refused by AssertionError: a test should not send a real SMS. One to
    this machine passes, for that is a sandbox.
    """

    def __init__(self) -> None:
        self._sent: list[SentMessage] = []

    @contextmanager
    def opened(self) -> Iterator[Outbox]:
        """Within it, every site of this process sends into this outbox."""
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
        """The messages to this phone, the oldest first."""
        number = _number(phone).e164
        return [message for message in self if message.phone == number]

    def last_code(self, phone: str | PhoneNumber | None = None) -> str:
        """The newest code, or the newest to this phone. Raises AssertionError if there is none."""
        found = self if phone is None else self.to(phone)
        if found:
            return found[-1].code
        nobody = "nobody was sent a code" if phone is None else f"no code was sent to {_number(phone).hint}"
        others = f"; there are {len(self)} to others" if self else "; does the site have sms = console:// in its tests?"
        raise AssertionError(nobody + others)

    def clear(self) -> None:
        """Forget all messages."""
        self._sent.clear()

    def _catch(self, request: HttpRequest | Notice) -> HttpResponse | None:
        if isinstance(request, Notice):
            hint = PhoneNumber(request.phone).hint if request.phone else ""
            self._sent.append(SentMessage(request.phone, request.message or request.text, request.code, hint))
            return HttpResponse(200)
        if is_loopback(urlsplit(request.url).hostname or ""):
            return None
        raise AssertionError(
            f"this test has an outbox, and the site would ask {request.host}; set its channels to console:// in tests"
        )


def _number(phone: str | PhoneNumber) -> PhoneNumber:
    return phone if isinstance(phone, PhoneNumber) else PhoneNumber.parse(phone)
