"""docs/writing_a_client.md: its requests are sent to the example sites, and answered as the page shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from phone_verify.api.openapi import openapi
from phone_verify.model import Status
from tests.clients import Browser, HttpCarrier
from tests.scenarios import Stage

from .conftest import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "writing_a_client.md").read_text("utf-8")
PHONE, CODE = "+989120000000", "482913"
#: Fields with the same value at every site; of the others the page shows the type. The title is that of Python.
FIXED = ("status", "purpose", "channel", "code", "detail", "type", "created", "proof", "dial", "caller_hint")


@dataclass(frozen=True)
class Exchange:
    """A request of the page, and its response."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: Any


def exchanges() -> list[Exchange]:
    """Return the page's requests with their responses, in order."""
    shown = re.findall(r"^```http\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    found = []
    for asked, answered in zip(shown[::2], shown[1::2], strict=True):
        head, _, body = asked.partition("\n\n")
        first, *lines = head.splitlines()
        method, path = first.split()
        status, _, answer = answered.partition("\n\n")
        headers = dict(line.split(": ", 1) for line in lines)
        found.append(Exchange(method, path, headers, body.strip(), int(status.split()[1]), json.loads(answer)))
    return found


def learn(shown: Any, real: Any, known: dict[str, str]) -> None:
    """Compare a response with that of the page, and note the values of this site in place of the page's."""
    assert shown.keys() == real.keys()
    for name, value in shown.items():
        if isinstance(value, dict):
            learn(value, real[name], known)
        elif isinstance(value, str) and name in ("id", "secret", "proof"):
            assert isinstance(real[name], str)
            known[value] = real[name]
        elif name in FIXED:
            assert real[name] == value, name
        else:
            assert type(real[name]) is type(value), name


def test_exchanges_of_the_page_are_those_of_a_site(site: str, stage: Stage) -> None:
    phone, client = stage.phone(), Browser(HttpCarrier(site), mount="")
    known = {PHONE: phone}

    def here(text: str) -> str:
        for shown, real in known.items():
            text = text.replace(shown, real)
        return text

    for exchange in exchanges():
        if CODE in exchange.body:
            known[CODE] = stage.code(phone)
        headers = {name: here(value) for name, value in exchange.headers.items()}
        answer = client.call(exchange.method, here(exchange.path), body=here(exchange.body).encode(), headers=headers)
        assert answer.status == exchange.status, (exchange, answer.text)
        learn(exchange.answer, answer.json(), known)
    assert client.call("GET", "/phone/v1/session").json()["user"]["phone"] == phone


def test_page_has_every_status_and_call() -> None:
    statuses = PAGE.split("\n## Status\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", statuses.partition("|---")[2], re.MULTILINE)) == {
        status.value for status in Status
    }
    shown = {(exchange.method, re.sub(r"/[\w-]{40,64}", "/{id}", exchange.path)) for exchange in exchanges()}
    listed = {
        *re.findall(r"`([A-Z]+) (v1/[^`\s,]*)", PAGE),
        *((method, path[len("/phone/") :]) for method, path in shown),
    }
    described = {
        (method.upper(), path[1:])
        for path, item in openapi()["paths"].items()
        for method in item.keys() & {"get", "post", "put", "delete"}
        if path.startswith("/v1/")
    }
    # The description of the API itself is named without its method.
    assert described - listed <= {("GET", "v1/openapi.json")}
    assert "v1/openapi.json" in PAGE
    assert listed - described == set()
