"""Reads one YAML document of plain values: what JSON has, with texts as names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import yaml

#: The names and positions that lead to a value.
Path: TypeAlias = tuple[str | int, ...]

#: The levels of a document; code that uses its values can then recurse into them.
_DEEPEST = 50
_TAG = "tag:yaml.org,2002:"
_TOO_DEEP = f"use at most {_DEEPEST} levels; this is nested too deeply"
_SCALARS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null"))


class YamlError(ValueError):
    """The text is not a document of plain values. The message says where and what to write.

    It contains nothing of the text, which may hold credentials.
    """


@dataclass(frozen=True, slots=True)
class Document:
    """The value of a document, and the line of each value in it."""

    value: object
    lines: Mapping[Path, int] = field(default_factory=dict)


def read_yaml(text: str) -> Document:
    """Read a document of maps, lists, texts, numbers, truth values and null. Raises `YamlError`.

    An alias is refused, since a short text could become a document of any size; so are a tag, a
    date, a name that is not text, and a name that appears twice in a map.
    """
    # PyYAML is large, and most sites have no such file.
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None)
        reader = _Reader(loader)
        return Document(reader.value(node, ()), reader.lines)
    except yaml.composer.ComposerError as error:
        raise _fault(error.problem_mark, "write one document, without anchors (&) and aliases (*)") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _fault(mark, "this is not YAML; check the indentation, brackets and quotes") from None
    except yaml.YAMLError:
        raise YamlError("remove the control characters; this is not YAML") from None
    except RecursionError:
        raise YamlError(_TOO_DEEP) from None


class _Reader:
    """Makes the values of one document of its nodes."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.lines: dict[Path, int] = {}
        self._loader = loader
        self._seen: set[int] = set()

    def value(self, node: Any, path: Path) -> object:
        """Return the value of a node, and keep its line."""
        if id(node) in self._seen:
            raise _fault(node.start_mark, "write the value out wherever it is used; aliases (*) are not supported")
        if len(path) > _DEEPEST:
            raise _fault(node.start_mark, _TOO_DEEP)
        self._seen.add(id(node))
        self.lines[path] = node.start_mark.line + 1
        match node.id, node.tag.removeprefix(_TAG):
            case "mapping", "map":
                return self._map(node, path)
            case "sequence", "seq":
                return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _map(self, node: Any, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, item in node.value:
            name = self._scalar(key)
            if not isinstance(name, str):
                raise _fault(key.start_mark, "write the name in quotes")
            if name in found:
                raise _fault(key.start_mark, "duplicate name; remove one of the two")
            found[name] = self.value(item, (*path, name))
        return found

    def _scalar(self, node: Any) -> object:
        try:
            if node.id == "scalar" and node.tag in _SCALARS:
                made: object = self._loader.construct_object(node)
                return made
        # PyYAML raises these for a value that its tag or form does not fit, like `!!int ""` and 0x_.
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
            pass
        raise _fault(node.start_mark, "write the value in quotes, without a tag (!)")


def _fault(mark: Any, what: str) -> YamlError:
    return YamlError(f"line {mark.line + 1}: {what}" if mark is not None else what)
