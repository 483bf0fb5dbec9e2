"""SMS to standard error, for development: nothing leaves this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..errors import ConfigurationError
from ..exchange import Exchange, Notice
from ..model import Channel, CodeSource, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability, Driver
from .options import Dsn
from .reading import our_code

_ABILITIES = {Channel.SMS: Ability(CodeSource.LOCAL, shortest=4, longest=8)}


@dataclass(frozen=True)
class Console(Driver):
    """Shows the message to the developer instead of sending it."""

    scheme: ClassVar[str] = "console"
    provider: ClassVar[str] = "the terminal"

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return _ABILITIES

    def start(self, order: Order) -> Exchange[Receipt]:
        """Show the text of the SMS, or only the code without a text."""
        code = our_code(order)
        message = order.text or code
        yield Notice(f"SMS to {order.phone.hint}:\n{message}", phone=order.phone.e164, message=message, code=code)
        return Receipt()

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Show the text of the SMS."""
        yield Notice(f"SMS to {phone.hint}:\n{text}", phone=phone.e164, message=text)

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        if dsn.host or dsn.port or dsn.base_path:
            raise ConfigurationError(f"{setting}: write console:// without a host; nothing is sent")
        return ""


DRIVER = Console
