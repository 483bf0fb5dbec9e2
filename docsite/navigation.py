"""A hook of MkDocs: the navigation contains every page of a provider."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

_SECTION, _INDEX = "Providers", "providers/README.md"


def on_config(config: MutableMapping[str, Any]) -> None:
    """Add the staged pages of the providers behind their index."""
    names = sorted(path.stem for path in Path(config["docs_dir"], "providers").glob("*.md") if path.stem != "README")
    for part in config["nav"]:
        for entry in next(iter(part.values())):
            if isinstance(entry, dict) and entry.get(_SECTION) == [_INDEX]:
                entry[_SECTION] = [_INDEX, *({name: f"providers/{name}.md"} for name in names)]
