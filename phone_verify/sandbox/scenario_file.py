"""The YAML of a scenario's file, and the line of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from .scenario_schema import path_text

LARGEST_FILE = 64 * 1024


class ScenarioFileError(ValueError):
    """The text is not YAML, or repeats a name; the message says where."""


def read_yaml(text: str) -> tuple[object, Mapping[str, int]]:
    """Return the value of a file, and the line of each value by its path. Raises ScenarioFileError."""
    if len(text) > LARGEST_FILE:
        raise ScenarioFileError(f"write no more than {LARGEST_FILE // 1024} KiB")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[str, int] = {}
        seen: set[int] = set()
        for path, item in _nodes(node, []):
            if id(item) in seen:
                raise yaml.MarkedYAMLError(
                    problem="write it out; aliases are not supported", problem_mark=node.start_mark
                )
            if path_text(path) in lines:
                raise yaml.MarkedYAMLError(problem="duplicate name", problem_mark=item.start_mark)
            seen.add(id(item))
            lines[path_text(path)] = item.start_mark.line + 1
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ScenarioFileError(f"line {mark.line + 1 if mark else 1}: {error.problem or 'this is not YAML'}") from None
    except (yaml.YAMLError, ValueError):
        raise ScenarioFileError("the text contains values that YAML does not allow") from None
    except RecursionError:
        raise ScenarioFileError("this is nested too deeply") from None


def write_yaml(value: object) -> str:
    """Return plain values as a file."""
    text: str = yaml.safe_dump(value, sort_keys=False, width=120)
    return text


def _nodes(node: yaml.Node, path: list[Any]) -> Iterator[tuple[list[Any], yaml.Node]]:
    yield path, node
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            yield from _nodes(item, [*path, key.value if isinstance(key, yaml.ScalarNode) else "?"])
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _nodes(item, [*path, index])
