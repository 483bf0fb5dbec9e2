"""The endpoint for Prometheus on both example sites, under two processes, and the files of docs/monitoring."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from phone_verify.api import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.events.prometheus import prometheus
from phone_verify.http.call import ApiRequest
from phone_verify.sandbox import SandboxServer
from tests.cases import in_one_test

from .clients import HttpCarrier
from .scenarios import SETTINGS, Stage, refused
from .servers import environment, gunicorn

MONITORING = Path(__file__).parents[1] / "docs" / "monitoring"
TOKEN = "the-token-of-the-metrics"
STARTS = ("phone_verify_operations_total", {"verb": "start", "outcome": "ok", "channel": "sms", "driver": "amoot"})


@dataclass
class Place:
    stage: Stage
    carrier: HttpCarrier

    def metrics(self, token: str = TOKEN) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the values by name and labels."""
        answer = self.carrier.send("GET", "/phone/v1/metrics", b"", {"Authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"].startswith("text/plain")
        families = list(text_string_to_metric_families(answer.body.decode()))
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture(scope="module", params=["django", "flask"])
def place(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("metrics")
    (data / "counts").mkdir()
    env = environment(request.param, data, sandbox.dsn, {**SETTINGS, "metrics_token": TOKEN})
    with gunicorn(request.param, {**env, "PROMETHEUS_MULTIPROC_DIR": str(data / "counts")}) as url:
        yield Place(Stage(lambda: HttpCarrier(url), sandbox), HttpCarrier(url))


def test_operations_of_all_processes_are_counted_together(place: Place) -> None:
    before = place.metrics()
    for _ in range(6):
        phone = place.stage.phone()
        browser = place.stage.browser()
        started = browser.call("POST", "v1/verifications", {"phone": phone, "channel": "sms"})
        code = place.stage.code(phone)
        assert browser.call("POST", f"v1/verifications/{started.json()['id']}/check", {"code": code}).status == 200
    after = place.metrics()

    def grown(name: str, labels: dict[str, str]) -> float:
        key = name, frozenset(labels.items())
        return after[key] - before.get(key, 0.0)

    assert grown(*STARTS) == 6
    assert grown("phone_verify_operations_total", {**STARTS[1], "verb": "check"}) == 6
    assert grown("phone_verify_operation_seconds_count", {"verb": "start"}) == 6
    assert grown("phone_verify_provider_seconds_count", {"driver": "amoot"}) == 6
    assert not [labels for _, labels in after for _, value in labels if re.search("[0-9]{7}", value)]


@in_one_test
@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9"]
)
def test_endpoint_refuses_others(place: Place, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    answer = place.carrier.send("GET", "/phone/v1/metrics", b"", headers)
    refused(answer, 401, "not_signed_in")
    assert "phone_verify" not in answer.body.decode()


def test_site_without_a_token_has_no_endpoint() -> None:
    site = build_site(Settings.from_mapping({"secret_keys": "0123456789abcdef0123456789abcdef"}))
    answer = handle(site, ApiRequest("GET", "v1/metrics", {"authorization": "Bearer "}))
    assert getattr(answer, "status", None) == 404
    assert getattr(handle(site, ApiRequest("GET", "v1/ready")), "status", None) == 503, "no channel is configured"
    assert getattr(handle(site, ApiRequest("GET", "v1/health")), "status", None) == 200


def test_short_token_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="METRICS_TOKEN: use 20 or more") as caught:
        Settings.from_mapping({"metrics_token": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert TOKEN not in repr(Settings.from_mapping({"metrics_token": TOKEN}))


def expressions() -> list[str]:
    board = json.loads((MONITORING / "grafana_dashboard.json").read_text("utf-8"))
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))
    targets = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return targets + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_dashboard_and_alerts_use_metrics_that_exist() -> None:
    metrics = vars(prometheus()).values()
    known = {sample: set(metric._labelnames) for metric in metrics for sample in _samples(metric)}
    for expression in expressions():
        used = re.findall(r"(phone_verify_\w+)(?:\{([^}]*)\})?", expression)
        assert used, expression
        for name, labels in used:
            assert name in known, name
            assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", labels)) <= known[name], expression


def _samples(metric: object) -> list[str]:
    name, kind = metric._name, metric._type  # type: ignore[attr-defined]
    return [f"{name}_total"] if kind == "counter" else [f"{name}_{part}" for part in ("bucket", "count", "sum")]


def test_page_lists_every_alert() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))
    page = (MONITORING.parent / "events.md").read_text("utf-8")
    assert [rule["alert"] for group in rules["groups"] for rule in group["rules"]] == re.findall(
        r"^\| `(PhoneVerify\w+)`", page, re.MULTILINE
    )
