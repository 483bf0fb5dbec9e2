"""Where the time of a start and a check goes: `python -m benchmarks.largest_costs`, or with the name of a store.

A timer interrupts the process a thousand times a second, also while it waits for a server. Each time counts for the
innermost function of this library that runs, with what that function calls of others: a driver's wait for a server is
thus under the statement that waits. Steps of a store are named by their verb. Prints a table of the largest costs of
each store.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from types import FrameType

import phone_verify
import phone_verify_django

from .costs import WAYS, cycle_of, url_of
from .servers import Servers
from .sites import Cycle

_OURS = [f"{folder}/" for package in (phone_verify, phone_verify_django) for folder in package.__path__]
_INTERVAL = 0.001
#: Functions that only pass on what their caller wants, by the ends of their names.
_PASSING = (
    "Prepared.__call__",
    "Connection.wait",
    "bounded",
    "Transaction.write",
    "_ask",
    "ask",
    "_Verbs._step",
    "_Verbs._run",
)
#: Modules whose functions are a store's verbs.
_VERBS = ("stores/rows/verbs.py", "stores/memory.py", "stores/redis/store.py")
_PHASES = ("start", "check")
#: The stores of the page, with their headings.
_HEADINGS = {
    "memory": "Memory",
    "redis": "Redis",
    "sqlite": "SQLite",
    "sqlite-orm": "Django's `orm:` on SQLite, as Django opens it",
    "postgresql": "PostgreSQL",
    "postgresql-orm": "Django's `orm:` on PostgreSQL",
    "mariadb": "MariaDB",
}


def samples(cycle: Cycle, seconds: float) -> tuple[Counter[tuple[str, str]], int]:
    """Return how often each function of a start or a check was found running, and the number of cycles."""
    found: Counter[tuple[str, str]] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        if (place := _place(frame)) is not None:
            found[place] += 1

    cycle(50)
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)
    try:
        cycles, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            cycle(1)
            cycles += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return found, cycles


def _place(frame: FrameType | None) -> tuple[str, str] | None:
    """Return the phase and the function to which a tick counts; None between cycles."""
    names = list(_frames(frame))
    phase = next((name for file, name in names if file == "verifier/blocking.py"), "").rpartition(".")[2]
    if any(name == "PhoneNumber.parse" for _, name in names):  # before the verifier is called
        phase = "start"
    if phase not in _PHASES:
        return None
    at = next(place for place, (_, name) in enumerate(names) if not name.endswith(_PASSING))
    file, function = names[at]
    label = f"`{file.removesuffix('.py')}`, `{function.replace('.<locals>', '')}`"
    # Coroutines and steps of a verb are named after it: `RowStore.spend.<locals>.step`.
    verbs = (name.split(".")[1] for file, name in names[at:] if file in _VERBS and "." in name)
    verb = next((verb for verb in verbs if not verb.startswith("_")), None)
    return phase, label if verb is None else f"{label} (`{verb}`)"


def _frames(frame: FrameType | None) -> Iterator[tuple[str, str]]:
    """Yield file and name of the functions of this library that run, the innermost first."""
    while frame is not None:
        for folder in _OURS:
            if frame.f_code.co_filename.startswith(folder):
                yield frame.f_code.co_filename.removeprefix(folder), frame.f_code.co_qualname
        frame = frame.f_back


def table(found: Counter[tuple[str, str]], cycles: int, most: int) -> str:
    """Return the largest costs as a Markdown table, in microseconds of a cycle."""
    lines = ["| of a | function | µs | share |", "|---|---|--:|--:|"]
    total = found.total()
    for (phase, function), count in found.most_common(most):
        lines.append(f"| {phase} | {function} | {count * _INTERVAL * 1e6 / cycles:.0f} | {count / total:.1%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.largest_costs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("way", nargs="*", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--most", type=int, default=20, help="lines of a table")
    chosen = parser.parse_args()
    if unknown := [way for way in chosen.way if way not in WAYS]:
        parser.error(f"unknown way {unknown[0]!r}; choose from {', '.join(WAYS)}")
    if len(chosen.way) == 1:
        _print_table(chosen.way[0], chosen.seconds, chosen.most)
        return
    for way in chosen.way or _HEADINGS:  # Django can be configured once in a process
        options = ["--seconds", str(chosen.seconds), "--most", str(chosen.most)]
        subprocess.run([sys.executable, "-m", __spec__.name, way, *options], check=True)


def _print_table(way: str, seconds: float, most: int) -> None:
    with ExitStack() as stack:
        if (url := url_of(WAYS[way], Servers.found(), stack)) is None:
            print(f"{way}: its server does not run", file=sys.stderr)
            return
        print(
            f"### {_HEADINGS.get(way, way)}\n\n{table(*samples(cycle_of(WAYS[way], url), seconds), most)}\n", flush=True
        )


if __name__ == "__main__":
    main()
