"""Cycles a second of this library and of others over HTTP, each with its own views and storage on PostgreSQL.

python -m benchmarks.peers                          all of them
python -m benchmarks.peers django-otp phone_verify  those whose names begin so, and the bare views

Each site runs under gunicorn with two workers of eight threads. Eight clients with persistent connections ask for a
code, send the right one, and begin again, each time with another number. A message is a datagram, and on
the sites of this library a line to the null device. The other libraries run in separate environments, with the versions
in `conversations`; `pip install` makes them in a temporary folder, or in that of `--environments`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from ..http import serving
from ..processes import gunicorn
from ..servers import Servers
from ..sites import number
from ..sustained import spread
from .conversations import PEERS, Client, Outbox, Peer

_CLIENTS, _WORKERS, _THREADS = 8, 2, 8
_WARM_UP = 3.0
#: Each cycle takes another user; enough for a minute of the quickest.
_USERS = 20_000
_SITES = Path(__file__).parent / "sites"


def measure(
    peer: Peer, servers: Servers, environments: Path, seconds: float, kept: int = 0
) -> list[tuple[float, float]]:
    """Return the seconds of each start and check."""
    with ExitStack() as stack:
        database = stack.enter_context(servers.fresh_postgresql())
        outbox = stack.enter_context(closing(Outbox()))
        if peer.packages:
            port = stack.enter_context(_serving(peer, _environment(peer, environments), database, outbox, kept))
        else:
            store = stack.enter_context(servers.fresh_redis()) if peer.redis else ""
            port = stack.enter_context(
                serving(peer.site, database, store=store, workers=_WORKERS, threads=_THREADS)
            ).port
        places = itertools.count()
        _visits(peer, port, outbox, places, _WARM_UP)
        return _visits(peer, port, outbox, places, seconds)


def _visits(peer: Peer, port: int, outbox: Outbox, places: Iterator[int], seconds: float) -> list[tuple[float, float]]:
    end = time.monotonic() + seconds

    def visit() -> list[tuple[float, float]]:
        found = []
        with closing(Client(port, outbox)) as client:
            while time.monotonic() < end:
                phone, began = number(next(places)), time.monotonic()
                asked = peer.start(client, phone)
                started = time.monotonic()
                peer.check(client, phone, asked)
                found.append((started - began, time.monotonic() - started))
        return found

    with ThreadPoolExecutor(_CLIENTS) as executor:
        visits = [executor.submit(visit) for _ in range(_CLIENTS)]
    return list(itertools.chain(*(each.result() for each in visits)))


def _environment(peer: Peer, environments: Path) -> Path:
    """Return the Python of an environment with the packages of a site."""
    folder = environments / peer.site
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"{peer.name}: installing…", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
    return python


@contextmanager
def _serving(peer: Peer, python: Path, database: str, outbox: Outbox, kept: int) -> Iterator[int]:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"BENCHMARK_DATABASE": database, "BENCHMARK_OUTBOX": str(outbox.port), "BENCHMARK_USERS": str(_USERS)}
    env["BENCHMARK_KEPT"] = str(kept)
    prepare = {**env, "BENCHMARK_PREPARE": "1"}
    print(f"{peer.name}: making tables and users; Flask-Security takes minutes…", file=sys.stderr)
    subprocess.run([python, "-c", f"import {peer.site}"], cwd=_SITES, env=prepare, check=True)
    with gunicorn(python, peer.site, env, _WORKERS, _THREADS, _SITES) as server:
        yield server.port


def _line(name: str, cycles: Sequence[tuple[float, float]], seconds: float) -> str:
    starts, checks = (spread([cycle[part] for cycle in cycles]) for part in (0, 1))
    return f"| {name} | {len(cycles) / seconds:.0f} | {starts} | {checks} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of names; all if none")
    parser.add_argument("--seconds", type=float, default=20, help="for each site")
    parser.add_argument("--environments", type=Path, help="where the environments are kept; default: not at all")
    parser.add_argument(
        "--kept", type=int, default=0, help="rows of earlier verifications, for the libraries that keep them"
    )
    chosen = parser.parse_args()
    servers = Servers.found()
    if not servers.postgresql:
        parser.error("PostgreSQL does not run on port 5432")
    names = (*chosen.names, "a bare view") if chosen.names else ("",)
    with ExitStack() as stack:
        environments = chosen.environments or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("| site | cycles/s | start, median / 99th percentile in ms | check |\n|---|--:|--:|--:|")
        for peer in PEERS:
            if peer.name.startswith(names) and (servers.redis or not peer.redis):
                cycles = measure(peer, servers, environments, chosen.seconds, chosen.kept)
                print(_line(peer.name, cycles, chosen.seconds), flush=True)


if __name__ == "__main__":
    main()
