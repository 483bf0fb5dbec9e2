"""Files that describe the request of a provider without a driver, and how to read its response.

The format is a JSON Schema, `request_file.schema.yaml`; `docs/any_provider.md` explains it. Placeholders
in braces are replaced by the values of an order, and by nothing else: no attribute or format of Python
is reachable from a file. The regular expressions of a file are applied to what a provider sends, so
their cost is limited: they may not repeat a group, and only the beginning of a response is searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import yaml

from ...documents.yaml_reader import read_yaml
from ...errors import FailureKind, quoted
from ...exchange import FORM, HttpResponse
from ...model import Channel, Order
from ..reading import our_code, reference_of

_SCHEMA = Path(__file__).with_name("request_file.schema.yaml")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: The parts of a file that may contain placeholders.
_REQUEST_PARTS = ("query", "headers", "json", "form", "text")
#: The HTTP client sets these by the body; others would end the request early, or never.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})
#: A pattern with two repeats takes at most half a second for as many characters, by measurement.
_LONGEST_SEARCHED = 1000
_MOST_REPEATS = 2
_PATTERN_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|\{[0-9]*,?[0-9]*\}|.", re.DOTALL)
_REPEAT = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}")
_QUANTIFIER = re.compile(r"[*+?]|\{[0-9]*,?[0-9]*\}")
#: What a file may name in braces.
PLACEHOLDERS = (
    "phone", "digits", "national", "text", "code", "key", "ttl_seconds", "webhook_url",
    "credential", "second_credential",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A valid file."""

    document: Mapping[str, Any]

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels that the request serves."""
        return [Channel(name) for name in self.document.get("channels", ["sms"])]

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.document.get("method", "POST"))

    @property
    def placeholders(self) -> Set[str]:
        """The names in braces in the request."""
        texts = _texts([self.document.get(part) for part in _REQUEST_PARTS])
        return {name for each in texts for name in _PLACEHOLDER.findall(each)}

    def url(self, base_url: str, values: Mapping[str, str]) -> str:
        """Return the URL under the DSN's host and path."""
        query = {name: filled(text, values) for name, text in self.document.get("query", {}).items()}
        return f"{base_url}{self.document.get('path', '')}{f'?{urlencode(query)}' if query else ''}"

    def headers(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers, with the content type of the body. Raises ValueError for one with a line break."""
        kind = {"json": "application/json", "form": FORM, "text": "text/plain; charset=utf-8"}
        given = {name: filled(text, values) for name, text in self.document.get("headers", {}).items()}
        for name, value in given.items():
            if not value.isprintable() or not value.isascii():
                raise ValueError(f"the header {name} would not be printable ASCII")
        known = {name.lower() for name in given}
        found = next((kind[part] for part in kind if part in self.document), None)
        return given if found is None or "content-type" in known else {"Content-Type": found, **given}

    def body(self, values: Mapping[str, str]) -> bytes | None:
        """Return the body, or None without one."""
        if "json" in self.document:
            filled_json = filled_document(self.document["json"], values)
            return json.dumps(filled_json, ensure_ascii=False, allow_nan=False).encode()
        if "form" in self.document:
            return urlencode({name: filled(text, values) for name, text in self.document["form"].items()}).encode()
        return filled(self.document["text"], values).encode() if "text" in self.document else None

    def failure(self, response: HttpResponse) -> FailureKind | None:
        """Return the kind of failure that the response names; None if it names none that the file lists."""
        rules = self.document.get("errors", {})
        found = [_plain(at(response.json(), rules["json"]))] if "json" in rules else []
        for kind in FailureKind:
            listed = [_plain(code) for code in rules.get("codes", {}).get(kind.value, ())]
            pattern = rules.get("texts", {}).get(kind.value)
            if any(code in listed for code in found if code is not None) or (pattern and _search(pattern, response)):
                return kind
        return None

    def is_success(self, response: HttpResponse) -> bool:
        """Return whether the response meets every condition of `success`; without one, each 2xx does."""
        rules = self.document.get("success", {})
        if not response.ok or response.status not in rules.get("status", [response.status]):
            return False
        if "json" in rules:
            value = _plain(at(response.json(), rules["json"]))
            if value is None or value not in [_plain(each) for each in rules.get("values", [value])]:
                return False
        return "text" not in rules or _search(rules["text"], response) is not None

    def reference(self, response: HttpResponse) -> str | None:
        """Return the provider's reference in the response; None if it has none."""
        rules = self.document.get("reference", {})
        if "json" in rules:
            return reference_of(at(response.json(), rules["json"]))
        if "header" in rules:
            return reference_of(response.headers.get(rules["header"].lower()))
        found = _search(rules["text"], response) if "text" in rules else None
        return reference_of(found[1] if found.re.groups else found[0]) if found else None


def read_request_file(path: str) -> RequestFile:
    """Read the file at this path. Raises ValueError that says what to correct in it."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file cannot be read ({type(error).__name__})") from None
    return parse_request_file(text)


def parse_request_file(text: str) -> RequestFile:
    """Return a file from its text. Raises ValueError that says what to correct in it."""
    document: Any = read_yaml(text).value
    for fault in sorted(_validator().iter_errors(document), key=lambda each: str(list(each.path))):
        raise ValueError(_correction(fault))
    request, blank = RequestFile(document), dict.fromkeys(PLACEHOLDERS, "")
    if unknown := sorted(request.placeholders - set(PLACEHOLDERS)):
        raise ValueError(f"unknown placeholder {{{unknown[0]}}}; placeholders: {', '.join(PLACEHOLDERS)}")
    for pattern in _patterns(document):
        try:
            re.compile(pattern)
        except (re.error, OverflowError) as broken:
            raise ValueError(f"a pattern is no regular expression: {broken}") from None
        if not _is_limited(pattern):
            raise ValueError(
                f"a pattern repeats a group, or has more than {_MOST_REPEATS} of *, + and {{m,n}}: "
                "a search for it could take hours"
            )
    if any(name.lower() in _FRAMING_HEADERS for name in document.get("headers", {})):
        raise ValueError("headers: leave out Content-Length and Transfer-Encoding, which follow from the body")
    try:
        request.url("", blank), request.body(blank)
    except (TypeError, ValueError):
        raise ValueError("json, form, text or query: write values that JSON has") from None
    return request


def values_of(order: Order, credentials: Sequence[str]) -> Mapping[str, str]:
    """Return what the placeholders stand for in a request for this order."""
    code = our_code(order)
    return {
        "phone": order.phone.e164,
        "digits": order.phone.e164[1:],
        "national": order.phone.national,
        "text": order.text or code,
        "code": code,
        "key": order.key,
        "ttl_seconds": str(int(order.ttl.total_seconds())),
        "webhook_url": order.webhook_url or "",
        **dict(zip(("credential", "second_credential"), (*credentials, "", ""), strict=False)),
    }


def filled(text: object, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced once: a value that contains braces stays as it is."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], str(text))


def filled_document(document: object, values: Mapping[str, str]) -> object:
    """Return a document with the placeholders of all its texts replaced."""
    match document:
        case str():
            return filled(document, values)
        case dict():
            return {name: filled_document(value, values) for name, value in document.items()}
        case list():
            return [filled_document(value, values) for value in document]
        case _:
            return document


def at(document: object, path: str) -> object:
    """Return the value at a path like `messages.0.id`; None if there is no such value."""
    for part in path.split("."):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def _correction(fault: Any) -> str:
    """Return what to write where the file does not fit the schema."""
    place = ".".join(map(str, fault.path)) or "the file"
    what = f"write {fault.schema['description']}"
    if fault.validator == "additionalProperties":
        unknown = min(str(name) for name in fault.instance if name not in fault.schema["properties"])
        return f"{place}: unknown name {quoted(unknown)}; {what}"
    if fault.validator == "oneOf":
        return f"{place}: write exactly one of json, form and text, or only query for a request without a body"
    return f"{place}: {what}"


def _search(pattern: str, response: HttpResponse) -> re.Match[str] | None:
    return re.search(pattern, response.body.decode("utf-8", "replace")[:_LONGEST_SEARCHED])


def _is_limited(pattern: str) -> bool:
    """Return whether the time of a search grows with a low power of the length of the text.

    A repeated group can take time that doubles with each character, and each further repeat
    multiplies it by the length.
    """
    repeats, before = 0, ""
    for part in _PATTERN_PART.findall(pattern):
        if _QUANTIFIER.fullmatch(part) and not _QUANTIFIER.fullmatch(before):
            if before == ")" and part != "?":
                return False
            repeats += _REPEAT.fullmatch(part) is not None
        before = part
    # In a verbose pattern, spaces may stand between a group and its repeat.
    return repeats <= _MOST_REPEATS and not re.match(r"\(\?[a-zA-Z]*x", pattern)


def _plain(value: object) -> str | None:
    """Return a text, number or truth value as text, as JSON writes it."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int) else None


def _texts(document: object) -> list[str]:
    if isinstance(document, str):
        return [document]
    parts = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return [text for part in parts for text in _texts(part)]


def _patterns(document: Mapping[str, Any]) -> list[str]:
    named = [document.get(part, {}).get("text") for part in ("success", "reference")]
    return [*(pattern for pattern in named if pattern), *document.get("errors", {}).get("texts", {}).values()]


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(cast("dict[str, Any]", yaml.safe_load(_SCHEMA.read_text("utf-8"))))
