"""Runs a sandbox: in a thread for tests, or permanently from the command line."""

import logging
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from phone_verify.sandbox.app import Sandbox
from phone_verify.sandbox.guard import is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DEFAULT_PORT = 8025


#: How often, in seconds, the server checks whether it should stop.
_POLL = 0.05


class _Handler(WSGIRequestHandler):
    """Leaves logging to the application, since a request line can contain a token, and supports
    dropped connections.
    """

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return

    def connection_dropped(self, error: BaseException, environ: "WSGIEnvironment | None" = None) -> None:
        # Without a response the connection would be kept open for the next request.
        self.close_connection = True


class SandboxServer:
    """A sandbox on a port of this machine, running in a thread between `start` and `stop`, or
    inside `with`.

    Port 0 selects a free one; a port in use raises OSError. A host that isn't loopback is rejected
    unless `expose_without_auth` is true: the sandbox has no passwords.
    """

    def __init__(
        self,
        sandbox: Sandbox | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        expose_without_auth: bool = False,
    ) -> None:
        if not (is_loopback(host) or expose_without_auth):
            raise ValueError(f"the sandbox has no passwords, so it listens on loopback only; {host!r} is not loopback")
        self.sandbox = sandbox or Sandbox()
        # Werkzeug would end the process if the port is in use; bound here, that is an ordinary
        # OSError.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as bound:
            self._port: int = bound.getsockname()[1]
            self._server = make_server(
                host, self._port, self.sandbox, threaded=True, request_handler=_Handler, fd=bound.fileno()
            )
        self._thread: threading.Thread | None = None
        self._host = f"[{host}]" if ":" in host else host

    @property
    def url(self) -> str:
        """Return the base URL, without a trailing slash."""
        return f"http://{self._host}:{self._port}"

    @property
    def dsn(self) -> str:
        """Return the address as a driver's DSN: `sandbox://127.0.0.1:8025`."""
        return f"sandbox://{self._host}:{self._port}"

    def start(self) -> Self:
        """Start serving. The port is open from construction on, so earlier requests are not lost."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="sandbox", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving, wake waiting clients, and close the port."""
        self.sandbox.close()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def run(self) -> None:
        """Serve in this thread until interrupted."""
        try:
            self._server.serve_forever(_POLL)
        finally:
            self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    sandbox: Sandbox | None = None,
    expose_without_auth: bool = False,
) -> None:
    """Run a sandbox until interrupted, and log each request to a provider to standard error,
    without secrets.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("phone_verify.sandbox").setLevel(logging.INFO)
    SandboxServer(sandbox, host=host, port=port, expose_without_auth=expose_without_auth).run()
