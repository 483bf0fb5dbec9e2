"""Responses that no provider should send: garbage, errors, and samples with values replaced."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from ...exchange import WebhookRequest

NOT_2XX = (300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 422, 429, 500, 502, 503, 504, 599)

#: Bodies that no provider sends on purpose. None of them may be taken as a result.
GARBAGE = {
    "empty": b"",
    "html": b"<!doctype html><title>502</title><p>Bad gateway",
    "text": b"OK",
    "truncated": b'{"success": true, "data": {"id": 1',
    "no utf-8": b'{"message": "\xff\xfe"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "string": b'"Success"',
    "list": b"[]",
    "list of lists": b"[[[]], [[{}]]]",
    "list of objects": b'[{"Status": "Success"}]',
    "object": b"{}",
    "nan": b"NaN",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"data":' * 100_000,
    "closed deep lists": b"[" * 900 + b"]" * 900,
    "huge number": b"1" * 5_000,
    "huge number inside": b'{"Status": ' + b"1" * 5_000 + b"}",
    "half a surrogate pair": rb'{"message": "\ud800", "error": "\udfff"}',
}

_TEXTS = st.text(max_size=20) | st.text("0123456789+ok", max_size=20) | st.sampled_from(["\ud800", "\x00", "٣٤٥٦"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**4000) | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places_in(body: object) -> Iterator[tuple[str | int, ...]]:
    """Return the path to every node of a JSON document, starting with the document itself."""
    yield ()
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(body, dict):
        items = body.items()
    elif isinstance(body, list):
        items = enumerate(body)
    for key, value in items:
        for rest in places_in(value):
            yield (key, *rest)


def with_value(body: object, place: tuple[str | int, ...], value: object) -> object:
    """Return a copy of the document with another value at this place."""
    if not place:
        return value
    changed: Any = copy.copy(body)
    changed[place[0]] = with_value(changed[place[0]], place[1:], value)
    return changed


def with_strings(body: object, template: str) -> object:
    """Return the document with every meaningful string put into `template`."""
    match body:
        case str() if body:
            return template.replace("{}", body)
        case dict():
            return {name: with_strings(value, template) for name, value in body.items()}
        case list():
            return [with_strings(value, template) for value in body]
        case _:
            return body


@st.composite
def any_webhook(draw: st.DrawFn, known: Sequence[WebhookRequest]) -> WebhookRequest:
    """Draw a webhook: one of the samples' with its signature, time or content changed, or any other."""
    request = draw(st.sampled_from(known)) if known else WebhookRequest("POST", (), {}, b"")
    names = sorted({name for each in known for name, _ in each.parameters}) or ["id"]
    headers = sorted({name for each in known for name in each.headers}) or ["authorization"]
    times = st.none() | st.datetimes(timezones=st.just(UTC))
    values = _TEXTS | st.from_regex(r"[+]?[0-9]{0,40}", fullmatch=True)
    parameters = st.lists(st.tuples(st.sampled_from(names) | _TEXTS, values), max_size=8)
    pairs = draw(parameters)
    form = urlencode(pairs, errors="replace").encode()
    body = draw(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()) | st.just(form))
    # Every header has another value, so that no signature of a sample is left.
    changed = draw(st.dictionaries(st.sampled_from(headers), _TEXTS))
    url = draw(_TEXTS | st.just(request.url))
    return WebhookRequest(request.method, pairs, changed, body, url, draw(times))
