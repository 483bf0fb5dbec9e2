"""The kept ratios: what each figure was when it was last accepted, and which figures are worse since.

Only ratios within one run are kept, and counts of instructions. Seconds and bytes depend on the machine, and so does
the ratio of Python to an HMAC: keep them again on another kind of machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from .instructions import UNIT
from .measure import Figure

KEPT = Path(__file__).with_name("ratios.json")
#: How much worse than its kept ratio a figure may be: two runs on an idle machine differ by up to a tenth, and two
#: counts of instructions by a hundredth.
_ALLOWED, _ALLOWED_OF_COUNTS = 0.25, 0.03
#: The units of figures that are ratios within one run.
_RATIOS = ("×", "times phonenumbers", "", UNIT)


def kept(path: Path = KEPT) -> dict[str, float]:
    """Return the kept ratios by the names of their figures."""
    ratios: dict[str, float] = json.loads(path.read_text())
    return ratios


def keep(figures: Iterable[Figure], path: Path = KEPT) -> None:
    """Keep the ratios of these figures; the others stay as they are."""
    ratios = kept(path) if path.exists() else {}
    ratios |= {figure.name: round(figure.value, 2) for figure in figures if figure.unit in _RATIOS}
    path.write_text(json.dumps(dict(sorted(ratios.items())), indent=2, ensure_ascii=False) + "\n")


def worse(figures: Iterable[Figure], ratios: Mapping[str, float]) -> list[str]:
    """Return a line for each figure that is worse than its kept ratio by more than is allowed."""
    lines = []
    for figure in figures:
        before = ratios.get(figure.name)
        if before is None or figure.unit not in _RATIOS:
            continue
        times = before / figure.value if figure.more else figure.value / before
        if times > 1 + (_ALLOWED_OF_COUNTS if figure.unit == UNIT else _ALLOWED):
            lines.append(f"{figure.name}: {figure.value:.2f} {figure.unit}, was {before:.2f}")
    return lines
