"""The index of decisions: every record by area, read from the records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"

#: The head of a record: number, title, date and area.
_HEAD = re.compile(r"# (\d+)\. (.+)\n\n(\d{4}-\d\d-\d\d) · (.+)\n")


def decision_index() -> str:
    """Return a list for each area. Raises ValueError for a record whose head is malformed."""
    areas: dict[str, list[str]] = {}
    for path in _records():
        head = _HEAD.match(path.read_text("utf-8"))
        if head is None or not path.name.startswith(f"{int(head[1]):04d}-"):
            raise ValueError(f"{path.name} does not begin with its number, title, date and area")
        areas.setdefault(head[4], []).append(f"- [{head[2]}]({path.name}) ({head[3]})")
    return "\n\n".join(f"## {area}\n\n" + "\n".join(areas[area]) for area in sorted(areas))


def _records() -> Sequence[Path]:
    return sorted(FOLDER.glob("[0-9]*.md"))
