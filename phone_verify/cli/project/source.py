"""Python source that is read and changed as text, so that comments and layout stay."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

_OURS = "phone_verify"


class ProjectError(Exception):
    """The project cannot be changed; the message says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """The text of one file before and after; `before` is None for a new file."""

    path: Path
    before: str | None
    after: str

    def diff(self, folder: Path) -> Iterator[str]:
        """Return the lines of the unified diff, without line ends."""
        name = self.path.relative_to(folder).as_posix()
        old = (self.before or "").splitlines()
        source = "/dev/null" if self.before is None else f"a/{name}"
        return unified_diff(old, self.after.splitlines(), source, f"b/{name}", lineterm="")

    def write(self) -> None:
        """Write the file, with the line ends that it had."""
        ends = "\r\n" if self.before is not None and b"\r\n" in self.path.read_bytes() else "\n"
        self.path.write_text(self.after, "utf-8", newline=ends)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to change, and what the user does next.

    `overrides` are the settings that the changes write in code, where they take precedence over the
    environment, and the condition of each, empty for none.
    """

    changes: Sequence[Change]
    next_steps: Sequence[str]
    overrides: Mapping[str, str] = field(default_factory=dict)


def region_overrides(region: str | None) -> Mapping[str, str]:
    """Return the `overrides` of a given region."""
    return dict.fromkeys(("region", "allowed_regions"), "") if region else {}


@dataclass(frozen=True, slots=True)
class Source:
    """A file of Python, parsed."""

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a file. Raises `ProjectError`."""
        try:
            text = path.read_text("utf-8")  # line ends become \n
            return cls(path, text, ast.parse(text))
        except FileNotFoundError:
            raise ProjectError(f"{path.name} does not exist") from None
        except UnicodeDecodeError:
            raise ProjectError(f"{path.name} is not UTF-8") from None
        except SyntaxError as error:
            raise ProjectError(f"{path.name} is not valid Python: line {error.lineno}") from None

    def assigned(self, name: str) -> ast.expr | None:
        """Return the value that is assigned to a name at the top level, the last if there are several."""
        found = None
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                found = getattr(node, "value", None) or found
        return found

    @property
    def imports_all(self) -> bool:
        """Whether names may come from another module by `import *`."""
        imports = [node for node in self.tree.body if isinstance(node, ast.ImportFrom)]
        return any(alias.name == "*" for node in imports for alias in node.names)

    def with_lines(self, after: int, *lines: str) -> str:
        """Return the text with more lines after the line of this number."""
        old = self.text.splitlines()
        return "\n".join([*old[:after], *lines, *old[after:]]) + "\n"


def first_use(folder: Path) -> str | None:
    """Return a file of the project that mentions this library, or None. Environments are left out."""
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_foreign(Path(here, name))]
        for name in files:
            path = Path(here, name)
            if path.suffix == ".py" and path.is_file() and _OURS in path.read_text("utf-8", "replace"):
                return path.relative_to(folder).as_posix()
    return None


def _is_foreign(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name == "node_modules" or (folder / "pyvenv.cfg").exists()
