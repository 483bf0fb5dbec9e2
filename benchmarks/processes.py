"""Server processes: their ports, processor time and memory."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running site: its port, and the process that starts its workers."""

    port: int
    pid: int


@contextmanager
def gunicorn(
    python: str | Path, module: str, env: Mapping[str, str], workers: int, threads: int, folder: Path | None = None
) -> Iterator[Server]:
    """Serve the `application` of a module, found from this folder, without what the site prints."""
    port = free_port()
    command = [python, "-m", "gunicorn", f"{module}:application", "--bind", f"127.0.0.1:{port}",
               "--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads), "--keep-alive", "60",
               "--log-level", "critical", "--no-control-socket", "--graceful-timeout", "1"]  # fmt: skip
    with open(os.devnull, "w") as nowhere:
        server = subprocess.Popen(command, cwd=folder, env=env, stderr=nowhere)
        try:
            await_port(port)
            yield Server(port, server.pid)
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def await_port(port: int) -> None:
    """Wait until a server accepts connections. Raises `RuntimeError` after a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the site did not start")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
