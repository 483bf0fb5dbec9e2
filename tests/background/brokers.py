"""A private RabbitMQ for the tests, on free ports, with a separate Erlang cookie and name server."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kombu import Connection
from kombu.exceptions import OperationalError

from tests.conftest import missing
from tests.servers import free_port

#: Where packages install the program that runs as its caller; the one in the path becomes another user.
_PLACES = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
)
_SECONDS = 120


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a server; yield its URL."""
    program = next((place for place in _PLACES if Path(place).is_file()), None)
    epmd = shutil.which("epmd")
    if program is None or epmd is None:
        missing("RabbitMQ")
    assert program is not None
    assert epmd is not None
    # Not pytest's folders: their paths are too long for some of Erlang's files.
    with tempfile.TemporaryDirectory(prefix="phone_verify_rabbitmq_") as name:
        folder, port = Path(name), free_port()
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
        environ = {
            **os.environ,
            "HOME": name,
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_MNESIA_BASE": f"{name}/data",
            "RABBITMQ_LOG_BASE": f"{name}/log",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": f"{name}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{name}/plugins",
        }
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen([program], env=environ, stdout=output, stderr=output, start_new_session=True)
        url = f"amqp://guest:guest@127.0.0.1:{port}//"
        try:
            _wait(url, process, folder / "output")
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)
            subprocess.run([epmd, "-kill"], env=environ, capture_output=True, timeout=30, check=False)


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()
        with suppress(OSError, OperationalError), Connection(url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1)
            return
        time.sleep(0.1)
    raise AssertionError(f"RabbitMQ did not start in {_SECONDS} seconds: {output.read_text()}")
