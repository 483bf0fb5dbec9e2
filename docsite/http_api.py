"""The page of the JSON API, written from the OpenAPI description: plain Markdown, so that no script is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .markdown import table

#: The media types that the introduction names.
_JSON = ("application/json", "application/problem+json")
_METHODS = ("get", "post", "put", "delete")
_INTRODUCTION = """\
# HTTP API

{description}

The description itself is OpenAPI {version}: a running site serves it at `v1/openapi.json`, and
[openapi.json](openapi.json) is a copy. Paths are relative to the mount point, `/phone` in the guides.
Bodies are `application/json`; errors are [problem bodies](problems.md), sent as `application/problem+json`.
"""


def page(document: Mapping[str, Any]) -> str:
    """Return the page: first all operations, then the schemas that they name."""
    return "\n".join(_Page(document).lines())


class _Page:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]

    def lines(self) -> Iterator[str]:
        yield _INTRODUCTION.format(
            description=" ".join(self._document["info"]["description"].split()), version=self._document["openapi"]
        )
        yield "## Operations\n"
        operations = list(self._operations())
        yield table(
            ("operation", "summary"),
            (
                (f"[`{_title(method, path)}`](#{_anchor(method, path)})", what["summary"])
                for path, method, what in operations
            ),
        )
        for path, method, operation in operations:
            yield from self._operation(path, method, operation)
        yield "\n## Schemas"
        for name, schema in self._schemas.items():
            yield from self._schema(name, schema)

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, item in self._document["paths"].items():
            shared = item.get("parameters", [])
            for method in _METHODS:
                if method in item:
                    operation = item[method]
                    yield path, method, {**operation, "parameters": [*shared, *operation.get("parameters", [])]}

    def _operation(self, path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
        yield f"\n### {_title(method, path)} {{ #{_anchor(method, path)} }}\n"
        yield f"{operation['summary']}.\n"
        if description := operation.get("description"):
            yield f"{description}\n"
        parameters = [self._resolved(parameter) for parameter in operation["parameters"]]
        if parameters:
            yield table(("parameter", "in", "type", "meaning"), map(self._parameter, parameters)) + "\n"
        if body := operation.get("requestBody"):
            optional = "" if body["required"] else " (optional)"
            yield f"**Request body**{optional}: {self._content(body)}\n"
        yield table(("status", "meaning", "body"), self._responses(operation["responses"]))

    def _parameter(self, parameter: Mapping[str, Any]) -> Sequence[str]:
        required = ", required" if parameter["required"] else ""
        kind = self._type(parameter["schema"])
        return f"`{parameter['name']}`", parameter["in"] + required, kind, parameter.get("description", "")

    def _responses(self, responses: Mapping[str, Any]) -> Iterator[Sequence[str]]:
        """Return a row for each kind of response; statuses that say the same share one."""
        rows: dict[tuple[str, str], list[str]] = {}
        for status, response in responses.items():
            said = self._resolved(response)
            rows.setdefault((said["description"], self._content(said)), []).append(status)
        for (meaning, content), statuses in rows.items():
            yield ", ".join(statuses), meaning, content

    def _content(self, holder: Mapping[str, Any]) -> str:
        return ", ".join(
            self._type(media["schema"]) + ("" if name in _JSON else f" as `{name}`")
            for name, media in holder.get("content", {}).items()
        )

    def _schema(self, name: str, schema: Mapping[str, Any]) -> Iterator[str]:
        yield f"\n### {name} {{ #{_schema_anchor(name)} }}\n"
        if "enum" in schema:
            yield f"One of {self._type(schema)}."
        for part in schema.get("allOf", [schema]):
            if "$ref" in part:
                yield f"All fields of {self._type(part)}, and:\n"
            elif "properties" in part:
                required = part.get("required", [])
                rows = (self._field(field, inner, field in required) for field, inner in part["properties"].items())
                yield table(("field", "type", "required", "meaning"), rows)

    def _field(self, name: str, schema: Mapping[str, Any], required: bool) -> Sequence[str]:
        meaning = " ".join(schema.get("description", "").split())
        if "default" in schema:
            meaning += f" Default: `{schema['default']}`."
        if "examples" in schema:
            meaning += f" Example: `{json.dumps(schema['examples'][0])}`."
        return f"`{name}`", self._type(schema), "yes" if required else "", meaning

    def _type(self, schema: Mapping[str, Any]) -> str:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{_schema_anchor(name)})"
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "oneOf" in schema:
            return " or ".join(map(self._type, schema["oneOf"]))
        if schema["type"] == "array":
            return f"array of {self._type(schema['items'])}"
        if "properties" in schema:
            return "object with " + ", ".join(f"`{name}`" for name in schema["properties"])
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " or ".join(kinds) + _bounds(schema)

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in value:
            return value
        found: Any = self._document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        resolved: Mapping[str, Any] = found
        return resolved


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    return f", {low} or more" if high is None else f", {low} to {high}"


def _title(method: str, path: str) -> str:
    return f"{method.upper()} {path}"


def _anchor(method: str, path: str) -> str:
    words = [word.strip("{}") for word in path.split("/") if word]
    return "-".join([method, *(word.replace(".", "-") for word in words)])


def _schema_anchor(name: str) -> str:
    return f"schema-{name.lower()}"
