"""A YAML subset for settings: texts, numbers, true, false, null, lists and mappings, with the line
of each.

Deliberately less than YAML. Anchors, tags, dates and `on`/`off` for true and false are not
supported: the first two let a small file expand or execute code, the others turn intended text into
something else. A number that begins with `+` or `0` is text too, since it is a phone number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values, and the line of each by its path, like `faults[0].delay`; "" is the whole
    document.
    """

    value: object
    lines: Mapping[str, int] = field(default_factory=dict)


class DocumentError(ValueError):
    """The text is not a valid document; the message says where and how to fix it."""


def read_document(text: str) -> Document:
    """Parse one document. Raises DocumentError."""
    if len(text) > LARGEST_FILE:
        raise DocumentError(f"write no more than {LARGEST_FILE // 1024} KiB")
    try:
        node = yaml.compose(text, Loader=_Loader)
        lines: dict[str, int] = {}
        value = None if node is None else _value(node, "", lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(f"line {mark.line + 1 if mark else 1}: {error.problem or 'this is not YAML'}") from None
    except yaml.YAMLError:
        raise DocumentError("the text contains characters that YAML does not allow") from None
    except RecursionError:
        raise DocumentError("this is nested too deeply") from None
    return Document(value, lines)


def write_document(value: object) -> str:
    """Write plain values as a document that parses back to the same values."""
    text: str = yaml.safe_dump(value, sort_keys=False, width=120)
    return text


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(problem="write it out; anchors are not supported", problem_mark=event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem="remove the tag; tags are not supported", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}  # separate from those of YAML 1.1
for _tag, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]{0,17})", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z", re.ASCII), _first)


def _value(node: yaml.Node, path: str, lines: dict[str, int]) -> object:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", lines) for index, item in enumerate(node.value)]
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return bool(node.value == "true")
        case "int":
            return int(node.value)
        case "float":
            return float(node.value)
        case _:
            return str(node.value)


def _items(node: yaml.MappingNode, path: str, lines: dict[str, int]) -> Iterator[tuple[str, object]]:
    seen = set()
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in seen:
            problem = "duplicate name" if isinstance(key, yaml.ScalarNode) else "write a name before the colon"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        seen.add(key.value)
        yield key.value, _value(item, f"{path}.{key.value}" if path else key.value, lines)
