"""`phone-verify webhooks`: deliveries, sending again, enabling, and a test message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from phone_verify.cli.commands.webhooks import webhooks
from phone_verify.cli.site_loader import SiteTarget, for_this_site
from phone_verify.config.site import SiteConfig
from phone_verify.database.connection import Database
from phone_verify.database.metadata import metadata
from phone_verify.database.outbox import SqlOutbox, enqueue
from phone_verify.database.outbox_tables import ENDPOINT, MESSAGE
from phone_verify.errors import ConfigurationError
from phone_verify.stores.sql.engine import engine_of
from phone_verify.sync import run
from phone_verify.testing.outbox_suite import change, endpoint
from phone_verify.webhooks_out.delivery import Deliverer
from phone_verify.webhooks_out.messages import WebhookEvent
from phone_verify.webhooks_out.sender import Answer


class FixedSender:
    answer = Answer(200)

    def send(self, *_: object) -> Answer:
        return self.answer


@dataclass
class Shown:
    """What the command needs of a site."""

    deliverer: Deliverer | None


class Config:
    """What the command needs of a site's configuration."""

    def __init__(self, deliverer: Deliverer | None, error: str = "") -> None:
        self.deliverer, self.error = deliverer, error

    def site(self) -> Shown:
        if self.error:
            raise ConfigurationError(self.error)
        return Shown(self.deliverer)


def ask(config: Any, *words: str) -> Result:
    """Run a command of the group for this configuration."""
    name, *rest = words
    bound, params = for_this_site(webhooks.commands[name], lambda: SiteTarget(config))
    return CliRunner(env={"COLUMNS": "200"}).invoke(click.Command(name, callback=bound, params=[*params]), rest)


@pytest.fixture
def sender() -> FixedSender:
    return FixedSender()


@pytest.fixture
def deliverer(tmp_path: Path, sender: FixedSender) -> Iterator[Deliverer]:
    engine = engine_of(f"sqlite:///{tmp_path}/outbox.sqlite3")
    metadata.create_all(engine, [MESSAGE, ENDPOINT])
    runner, now = Database(engine), datetime.now(UTC)
    for n, event in enumerate((WebhookEvent.SENT, WebhookEvent.VERIFIED)):
        written = change(n, event=event, service="shop")
        runner.run(lambda connection, written=written: enqueue(connection, [endpoint()], written, now))  # type: ignore[misc]
    yield Deliverer(SqlOutbox(runner), lambda service: [endpoint()] if service == "shop" else [], sender=sender)
    engine.dispose()


@pytest.fixture
def config(deliverer: Deliverer) -> Config:
    return Config(deliverer)


def test_deliveries_are_listed(config: Config, deliverer: Deliverer) -> None:
    assert deliverer.deliver_due(1, datetime.now(UTC)) == 1
    shown = ask(config, "list")
    assert shown.exit_code == 0
    assert [line.split()[1:6] for line in shown.output.splitlines()[1:]] == [
        ["shop", "main", "verified", "pending", "0"],
        ["shop", "main", "sent", "delivered", "1"],
    ]


def test_list_is_filtered_and_continues(config: Config, deliverer: Deliverer) -> None:
    deliverer.deliver_due(1, datetime.now(UTC))
    assert "There are no deliveries." in ask(config, "list", "--status", "failed").output
    assert "There are no deliveries." in ask(config, "list", "--service", "bank").output
    first = ask(config, "list", "--limit", "1").output
    assert "--before 2" in first
    assert "sent" in ask(config, "list", "--before", "2", "--endpoint", "main").output


def test_list_as_json(config: Config) -> None:
    document = json.loads(ask(config, "list", "--json").output)
    assert document["endpoints"] == []
    assert document["deliveries"][0] | {"created_at": "", "next_at": ""} == {
        "position": 2,
        "id": change(1, event=WebhookEvent.VERIFIED).id,
        "service": "shop",
        "endpoint": "main",
        "event": "verification.verified",
        "verification": change(1).verification,
        "status": "pending",
        "attempts": 0,
        "response": None,
        "problem": "",
        "created_at": "",
        "attempted_at": None,
        "next_at": "",
        "delivered_at": None,
    }


def test_failing_and_disabled_endpoints_are_named(config: Config, deliverer: Deliverer, sender: FixedSender) -> None:
    sender.answer = Answer(500, "answered 500")
    deliverer.deliver_due(10, datetime.now(UTC))
    assert "Endpoint main of shop has accepted nothing since" in ask(config, "list").output
    assert "Repair it" not in ask(config, "list").output
    run(deliverer.outbox.enable("shop", "main"))
    longer = datetime.now(UTC) - timedelta(days=4)
    run(deliverer.outbox.again(change(0).id, "shop", "main", longer))
    deliverer.deliver_due(1, longer)
    assert "Repair it, or remove it from the service" in ask(config, "list").output
    sender.answer = Answer(410, "answered 410")
    deliverer.deliver_due(10, datetime.now(UTC) + timedelta(minutes=2))
    shown = ask(config, "list")
    assert "phone-verify webhooks enable shop main" in shown.output
    assert "answered 410" in shown.output
    assert json.loads(ask(config, "list", "--json").output)["endpoints"][0]["disabled_at"]
    assert "Enabled." in ask(config, "enable", "shop", "main").output
    assert "neither disabled nor failing" in ask(config, "enable", "shop", "main").output


def test_message_is_sent_again(config: Config, deliverer: Deliverer) -> None:
    deliverer.deliver_due(10, datetime.now(UTC))
    assert ask(config, "resend", "shop", "main", change(0).id).exit_code == 0
    assert deliverer.deliver_due(10, datetime.now(UTC)) == 1
    missing = ask(config, "resend", "shop", "main", "msg_unknown")
    assert (missing.exit_code, "There is no such message" in missing.output) == (1, True)


def test_endpoint_is_tested(config: Config, sender: FixedSender) -> None:
    assert "accepted the message: 200" in ask(config, "test", "shop", "main").output
    sender.answer = Answer(None, "connection refused by example.com")
    refused = ask(config, "test", "shop", "main")
    assert (refused.exit_code, "connection refused by example.com." in refused.output) == (1, True)
    assert "no endpoint called other" in ask(config, "test", "shop", "other").output


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Config(None), "PHONE_VERIFY_LEDGER is not set"),
        (Config(None, "PHONE_VERIFY_SMS is wrong"), "PHONE_VERIFY_SMS is wrong"),
    ],
)
def test_site_without_webhooks_is_an_error(config: Config, says: str) -> None:
    shown = ask(config, "list")
    assert (shown.exit_code, says in shown.output) == (1, True)


def test_failing_database_is_an_error(config: Config, deliverer: Deliverer) -> None:
    deliverer.outbox._database.run(lambda connection: MESSAGE.drop(connection))  # type: ignore[attr-defined]
    shown = ask(config, "list")
    assert (shown.exit_code, "a table is missing" in shown.output) == (1, True)


def test_site_has_no_deliverer_without_a_ledger() -> None:
    config = SiteConfig(
        environ={"PHONE_VERIFY_SMS": "console://", "PHONE_VERIFY_SECRET_KEYS": "q7YwZr1mT0bXkE4sVnHc9uLpAiGdJ2oF"}
    )
    assert "PHONE_VERIFY_LEDGER is not set" in ask(config, "test", "shop", "main").output
