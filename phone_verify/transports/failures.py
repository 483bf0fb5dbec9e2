"""Errors of the network as text: what happened, and which host, without any part of the URL."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Sequence

#: The first that an error or one of its causes is an instance of.
_PHRASES: Sequence[tuple[type[BaseException], str]] = (
    (ssl.SSLCertVerificationError, "the certificate of {host} is not valid"),
    (ssl.SSLError, "TLS with {host} failed"),
    (socket.gaierror, "host {host} not found"),
    (ConnectionRefusedError, "connection refused by {host}"),
    (ConnectionError, "connection closed by {host}"),
    (TimeoutError, "{host} timed out after {seconds:g} s"),
)


def in_words(error: BaseException, host: str, seconds: float) -> str:
    """Describe an error of an HTTP client; `seconds` is the limit that applied."""
    causes = [*_causes(error)]
    for kind, phrase in _PHRASES:
        if any(isinstance(cause, kind) for cause in causes):
            return phrase.format(host=host, seconds=seconds)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            return f"{host}: {os.strerror(cause.errno).lower()}"
    return f"the connection to {host} failed ({type(error).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
