"""SMS with our text to any SMSC by SMPP 3.4: each message has a separate connection.

The meaning of the command statuses is the standard's; what they mean for an order is our reading. Delivery
receipts need a connection that stays open, and are not requested. Texts are sent in GSM 7 bit, or else in
UCS-2, and long ones in parts. For many messages a second, run a gateway like Kannel, which keeps its
connection, and describe its HTTP request in a file (`webhook+https://`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import ClassVar

from ..errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, SmppMessage
from ..model import Channel, CodeSource, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability, Driver
from .kinds.json_api import by_kind
from .options import Dsn, Option, flag, matching
from .reading import our_code, reference_of

_PORT, _TLS_PORT = 2775, 3550
#: TON and NPI of a name, and of an international number.
_NAME, _NUMBER = (5, 0), (1, 1)
_LONGEST_TEXT = 1600
_UNENCRYPTED = "unencrypted_the_network_sees_codes_and_password"
_NOTICE_SECONDS = 3600


@dataclass(frozen=True)
class Smpp(Driver):
    """SMS through an SMSC."""

    scheme: ClassVar[str] = "smpp"
    provider: ClassVar[str] = "an SMSC (SMPP 3.4)"
    example_host: ClassVar[str] = "smsc.example"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("system_id", "password"),)
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(
            "",
            matching(
                r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}", "a number, a short code or a name"
            ),
            "Example",
            "the sender: a number in E.164 (with `+` as `%2B`), a short code, or a name of up to 11 characters",
            required=True,
        ),
        _UNENCRYPTED: Option(
            False, flag, meaning="connect without TLS, as many SMSCs require; use it inside a VPN only"
        ),
        "system_type": Option(
            "", matching("[!-~]{1,12}", "up to 12 characters"), meaning="the system type of the bind"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "11 80 81",
            FailureKind.CONFIGURATION: "1 2 3 4 5 10 13 14 15 67 72 73 97 98",
            FailureKind.RATE: "88",
            FailureKind.TRANSIENT: "8 20 69 254",
        }
    )

    system_id: str = field(repr=False)
    password: str = field(repr=False)
    sender: str
    unencrypted_the_network_sees_codes_and_password: bool
    system_type: str
    port: int

    def __post_init__(self) -> None:
        if find_spec("smpplib") is None:
            raise ValueError("install the package for SMPP: pip install 'phone-verify[smpp]'")
        if not re.fullmatch("[ -~]{1,15}", self.system_id) or not re.fullmatch("[ -~]{1,8}", self.password):
            raise ValueError("SMPP takes a system id of up to 15 and a password of up to 8 ASCII characters")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Submit the message, which the SMSC drops if it cannot be delivered within the code's lifetime."""
        ids = yield from self._submit(order.phone, order.text or our_code(order), int(order.ttl.total_seconds()))
        return Receipt(reference_of(ids[0]), parts=len(ids))

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Submit the text."""
        yield from self._submit(phone, text, _NOTICE_SECONDS)

    def _submit(self, phone: PhoneNumber, text: str, seconds: int) -> Exchange[Sequence[str]]:
        if len(text) > _LONGEST_TEXT:
            raise ProviderError(FailureKind.CONFIGURATION, "the text is too long")
        scheme, _, host = self.base_url.partition("://")
        response = yield SmppMessage(
            host.strip("[]"),
            self.port,
            scheme == "smpps",
            self.system_id,
            self.password,
            self.system_type,
            self.sender.removeprefix("+"),
            _NUMBER if self.sender.startswith("+") else (0, 1) if self.sender.isdecimal() else _NAME,
            phone.e164[1:],
            text,
            max(1, seconds),
        )
        document = response.json()
        status = document.get("bind") or document.get("submit")
        if status:
            kind = self.errors.get(str(status), FailureKind.UNKNOWN)
            raise ProviderError(kind, f"SMPP status 0x{status:02X}")
        ids: Sequence[str] = document.get("ids") or ()
        if not ids:
            raise UnclearError("smpp: the response has no message id")
        return ids

    @classmethod
    def _options(cls, dsn: Dsn, setting: str) -> dict[str, object]:
        return {**super()._options(dsn, setting), "port": dsn.port or (_PORT if _is_plain(dsn) else _TLS_PORT)}

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        if dsn.base_path:
            raise ConfigurationError(f"{setting}: write smpp:// without a path")
        if dsn.options.get(_UNENCRYPTED, "off") in ("on", "true"):
            if dsn.host is None:
                raise ConfigurationError(f"{setting}: write a host; this driver has no default")
            return f"smpp://{dsn.host}"
        return super()._base_url(replace(dsn, port=None), setting).replace("http", "smpp")


def _is_plain(dsn: Dsn) -> bool:
    return dsn.options.get("tls") == "off" or dsn.options.get(_UNENCRYPTED, "off") in ("on", "true")


DRIVER = Smpp
