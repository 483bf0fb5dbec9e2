"""The page about outgoing webhooks: its receiver runs, and its tables are those of the code."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.testing.outbox_suite import SECRET, change
from phone_verify.webhooks_out.base import RETENTION
from phone_verify.webhooks_out.delivery import DELAYS
from phone_verify.webhooks_out.endpoints import Endpoint, new_secret
from phone_verify.webhooks_out.messages import EVENTS, WebhookEvent
from phone_verify.webhooks_out.sender import TIMEOUT
from phone_verify.webhooks_out.signing import signed_headers

PAGE = (Path(__file__).parents[2] / "docs" / "outgoing_webhooks.md").read_text("utf-8")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the page's receiver."""
    [text] = re.findall(r"^```python\n# receiver.py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(text, "receiver.py", "exec"), names)
    return names


def test_receiver_accepts_each_message_once(receiver: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    client, verified = receiver["app"].test_client(), change(event=WebhookEvent.VERIFIED)
    endpoint = Endpoint("https://example.com", [new_secret(os.urandom), SECRET])
    headers = signed_headers(endpoint, verified.id, verified.body, datetime.now(UTC))
    for _ in range(2):
        assert client.post("/webhooks/phone", data=verified.body, headers=headers).status_code == 204
    assert capsys.readouterr().out == f"verified: {verified.verification}\n"


def test_receiver_refuses_other_messages(receiver: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    client, verified = receiver["app"].test_client(), change(event=WebhookEvent.VERIFIED)
    now, signer = datetime.now(UTC), Endpoint("https://example.com", [SECRET])
    forged = Endpoint("https://example.com", [new_secret(os.urandom)])
    for headers in (
        signed_headers(forged, verified.id, verified.body, now),
        signed_headers(signer, verified.id, verified.body, now - timedelta(minutes=10)),
        signed_headers(signer, verified.id, verified.body + " ", now),
        {},
    ):
        assert client.post("/webhooks/phone", data=verified.body, headers=headers).status_code == 401
    assert capsys.readouterr().out == ""


def test_page_names_every_event_and_field() -> None:
    assert set(re.findall(r"^\| `(verification\.\w+)` \|", PAGE, re.MULTILINE)) == EVENTS
    fields = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))
    assert fields == {field.replace("-", "_") for field in Endpoint.__dataclass_fields__}


def test_example_body_has_the_fields_of_a_message() -> None:
    [text] = re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    shown, real = json.loads(text), json.loads(change().body)
    assert shown.keys() == real.keys()
    assert list(shown["data"]) == list(real["data"])


def test_page_states_the_retries() -> None:
    hours = [2, 5, 10, 14, 20, 24]
    assert list(DELAYS) == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)] + [
        timedelta(hours=each) for each in hours
    ]
    text = " ".join(PAGE.split())
    assert "after 5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 hours" in text
    assert "tried ten times" in text
    assert f"{RETENTION.days} days after" in text
    assert TIMEOUT == 10
