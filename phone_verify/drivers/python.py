"""A function of the site sends the order: it gets the phone, the channel, the code and the text.

Write the dotted path of the function: `python:mysite.sms.send`. It receives an `Order`,
and returns the provider's reference or None. To refuse, it raises `ProviderError`, and the next driver is
tried; the log has its text without numbers. After any other error the message
may be on its way, so nothing else is tried. It may be `async def`; in a blocking site a plain function
has no time limit, so give its connection one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, SiteCall
from ..model import Channel, CodeSource, Order, Receipt
from .base import ANSWER_TIMEOUT, Ability, Driver
from .options import Dsn, Option, function_at
from .reading import reference_of

_ABILITIES = {
    channel: Ability(CodeSource.LOCAL, shortest=4, longest=8)
    for channel in (Channel.SMS, Channel.VOICE, Channel.TELEGRAM, Channel.WHATSAPP)
} | {Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=4, longest=4)}


@dataclass(frozen=True)
class SiteFunction(Driver):
    """Sends by a function of the site."""

    scheme: ClassVar[str] = "python"
    provider: ClassVar[str] = "a function of the site"
    options: ClassVar[Mapping[str, Option]] = {
        "function": Option(
            None, function_at, example="mysite.sms.send", meaning="the dotted path of the function, after `python:`"
        )
    }

    names_site: ClassVar[bool] = True

    function: Callable[[Order], Any] = field(repr=False)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Every channel with our code; the last four digits of a flash call's number are the code."""
        return _ABILITIES

    def start(self, order: Order) -> Exchange[Receipt]:
        """Call the function. Its refusal is copied, since its text and class are the site's."""
        try:
            response = yield SiteCall(self.function, order)
        except ProviderError as error:
            trouble = error.trouble if isinstance(error.trouble, FailureKind) else FailureKind.UNKNOWN
            raise ProviderError(trouble, self.redact(error.detail)) from None
        return Receipt(reference_of(response.body.decode()))

    @property
    def is_local(self) -> bool:
        """It may send anything anywhere."""
        return False

    @classmethod
    def example_dsns(cls, channel: Channel = Channel.SMS) -> Sequence[str]:
        """Return the form of its DSN, which has no host."""
        return ("python:mysite.sms.send",)

    @classmethod
    def example(cls, dsn: Dsn) -> Driver:
        """Return a driver whose function is never called."""
        return cls(name=cls.scheme, base_url="", timeout=ANSWER_TIMEOUT, function=str)

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        return ""


DRIVER = SiteFunction
