"""Run the benchmarks: prints a table and writes JSON.

python -m benchmarks                 all but a million rows, some minutes
python -m benchmarks --kept 1000000  growth up to a million rows, longer
python -m benchmarks cycles http     these parts only
python -m benchmarks --check         fail if a ratio is a quarter worse than in benchmarks/ratios.json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from . import alike, cycles, growth, hot_row, http, instructions, numbers, regressions, routing, space, spraying
from .measure import Figure, table
from .servers import Servers


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts",
        nargs="*",
        help="memory, cycles, instructions, http, alike, growth, spraying, routing, space, hot_row, imports, numbers; "
        "all if none",
    )
    parser.add_argument("--rounds", type=int, default=9, help="runs of which the median counts")
    parser.add_argument(
        "--visits", type=int, default=200, help="visits with known and unknown numbers, of each so many"
    )
    parser.add_argument("--kept", type=int, default=100_000, help="how many kept verifications the growth goes to")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go as JSON")
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--check", action="store_true", help="exit with 1 if a ratio is a quarter worse than the kept one"
    )
    kept.add_argument("--keep", action="store_true", help="keep these ratios in benchmarks/ratios.json")
    chosen = parser.parse_args()
    servers, rounds = Servers.found(), chosen.rounds
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "imports": lambda: cycles.imports(rounds),
        "numbers": lambda: numbers.figures(rounds),
        "memory": lambda: cycles.memory(rounds),
        "cycles": lambda: cycles.on_servers(rounds, servers),
        "instructions": lambda: instructions.figures(servers),
        "http": lambda: http.figures(rounds, servers),
        "alike": lambda: alike.figures(chosen.visits, servers),
        "growth": lambda: growth.figures(rounds, servers, chosen.kept),
        "spraying": spraying.figures,
        "routing": routing.figures,
        "space": lambda: space.figures(servers),
        "hot_row": lambda: hot_row.figures(max(3, rounds // 3), servers),
    }
    if unknown := [name for name in chosen.parts if name not in parts]:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(parts)}")
    figures = []
    for name in chosen.parts or parts:
        print(f"{name}…", file=sys.stderr, flush=True)
        for figure in parts[name]():
            print(f"  {figure.name}: {figure.value:.2f} {figure.unit} {figure.verdict}", file=sys.stderr, flush=True)
            figures.append(figure)
    print(table(figures))
    about = {"python": platform.python_version(), "machine": platform.machine(), "servers": asdict(servers)}
    document = {**about, "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures]}
    chosen.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if chosen.keep:
        regressions.keep(figures)
    if chosen.check and (worse := regressions.worse(figures, regressions.kept())):
        sys.exit("Worse than in benchmarks/ratios.json:\n" + "\n".join(worse))


main()
