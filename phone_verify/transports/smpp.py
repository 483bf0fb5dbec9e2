"""Submits one SMS to an SMSC by SMPP 3.4, with smpplib: a connection for each message.

A connection that stays open carries more messages, but belongs to one process that never ends; this one
works in any worker.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import HttpResponse, SmppMessage
from .base import CONNECT_TIMEOUT

#: smpplib logs whole messages at DEBUG, with code and password.
_LOGGER = "phone_verify.smpp_client"
#: TON and NPI of an international number.
_INTERNATIONAL = (1, 1)
#: The most requests of the SMSC that are answered while a response is awaited.
_MOST_OTHERS = 20
_LONGEST = 64 * 1024


def submit(message: SmppMessage, timeout: float) -> HttpResponse:
    """Return the command statuses and the ids. Blocks up to `timeout` seconds.

    Raises `ProviderError` if nothing was submitted, and `UnclearError` if it is not known.
    """
    deadline = time.monotonic() + timeout
    session = _Session(message, deadline)
    try:
        try:
            bound = session.bind()
        except Exception as error:  # noqa: BLE001 - smpplib raises anything for bytes that no SMSC sends
            said = f"no connection to the SMSC ({type(error).__name__})"
            raise ProviderError(FailureKind.TRANSIENT, said) from None
        if bound:
            return _answer(bind=bound)
        try:
            status, ids = session.submit()
        except Exception as error:  # noqa: BLE001 - as above
            raise UnclearError(f"no complete response of the SMSC ({type(error).__name__})") from None
        return _answer(bind=0, submit=status, ids=ids)
    finally:
        session.end()


def _answer(**fields: object) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps(fields).encode())


class _Session:
    """A connection to an SMSC for one message."""

    def __init__(self, message: SmppMessage, deadline: float) -> None:
        self._message, self._deadline = message, deadline
        logging.getLogger(_LOGGER).disabled = True
        self._client = _client(message, self._left)

    def bind(self) -> int:
        """Connect and bind; return the command status."""
        from smpplib import consts

        self._client._socket = self._connected()
        self._client.state = consts.SMPP_CLIENT_STATE_OPEN
        request = self._send(
            "bind_transmitter",
            system_id=self._message.system_id,
            password=self._message.password,
            system_type=self._message.system_type,
        )
        return int(self._response(request).status)

    def submit(self) -> tuple[int, list[str]]:
        """Submit all parts; return the command status, of the first part that has another than 0, and the ids.

        A part that is refused after one that was accepted raises ValueError: the user may get a
        part of the text.
        """
        import smpplib.gsm

        parts, encoding, features = smpplib.gsm.make_parts(self._message.text)
        ids: list[str] = []
        for part in parts:
            request = self._send(
                "submit_sm",
                source_addr_ton=self._message.sender_type[0],
                source_addr_npi=self._message.sender_type[1],
                source_addr=self._message.sender,
                dest_addr_ton=_INTERNATIONAL[0],
                dest_addr_npi=_INTERNATIONAL[1],
                destination_addr=self._message.number,
                short_message=part,
                data_coding=encoding,
                esm_class=features,
                validity_period=_period(self._message.validity_seconds),
                registered_delivery=False,
            )
            response = self._response(request)
            if response.status:
                if ids:
                    raise ValueError("a part was refused after another was accepted")
                return int(response.status), []
            ids.append(bytes(response.message_id or b"").decode("ascii", "replace"))
        return 0, ids

    def end(self) -> None:
        """Unbind without waiting, and close."""
        connection = self._client._socket
        if connection is None:
            return
        with suppress(Exception):  # the result is known already
            self._send("unbind")
        with suppress(OSError):
            connection.close()
        self._client._socket = None

    def _connected(self) -> socket.socket:
        limit = min(CONNECT_TIMEOUT, self._left())
        connection = socket.create_connection((self._message.host, self._message.port), limit)
        if self._message.tls:
            context = ssl.create_default_context()
            connection = context.wrap_socket(connection, server_hostname=self._message.host)
        return connection

    def _send(self, command: str, **fields: Any) -> Any:
        import smpplib.smpp

        request = smpplib.smpp.make_pdu(command, client=self._client, **fields)
        self._client._socket.settimeout(self._left())
        self._client.send_pdu(request)
        return request

    def _response(self, request: Any) -> Any:
        """Return the response to this request; requests of the SMSC meanwhile are answered."""
        import smpplib.smpp

        for _ in range(_MOST_OTHERS):
            self._client._socket.settimeout(self._left())
            received = self._client.read_pdu()
            if (
                received.command in (f"{request.command}_resp", "generic_nack")
                and received.sequence == request.sequence
            ):
                return received
            if received.command == "enquire_link":
                response = smpplib.smpp.make_pdu("enquire_link_resp", client=self._client)
                response.sequence = received.sequence
                self._client.send_pdu(response)
        raise ValueError("the SMSC sends requests only")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _client(message: SmppMessage, left: Callable[[], float]) -> Any:
    """Return a client that reads no more than a response can have, within the time that is left."""
    from smpplib.client import Client

    class Bounded(Client):  # type: ignore[misc]
        def _recv_exact(self, size: int) -> bytes:
            if size > _LONGEST:
                raise ValueError("the SMSC announced a response that is too long")
            received = b""
            while len(received) < size:
                self._socket.settimeout(left())
                part = self._socket.recv(size - len(received))
                if not part:
                    raise ConnectionResetError
                received += part
            return received

    return Bounded(message.host, message.port, logger_name=_LOGGER, allow_unknown_opt_params=True)


def _period(seconds: int) -> str:
    """Return a relative time of SMPP 3.4 (7.1.1.2): YYMMDDhhmmss000R."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"000000{hours:02}{minutes:02}{seconds:02}000R"
