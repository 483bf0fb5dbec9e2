"""Scenarios: files that describe the network's behaviour, read, played, saved and loaded again."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Habit, Sandbox, SandboxServer, ScenarioError, load, read_scenario
from phone_verify.sandbox.faults import MAX_FAULTS
from phone_verify.sandbox.network import MAX_HANDSETS
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.scenario import LARGEST_FILE, present, scenario_of
from phone_verify.sandbox.scenario_schema import SCHEMA
from phone_verify.sandbox.timers import MAX_TIMERS, Timers
from tests.cases import in_one_test

PHONE, OTHER = "+79000000000", "+989120000000"
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "scenarios").glob("*.yaml"))
WHOLE = """
faults:
  - provider: amoot
    phone: "+989120000000"
    refuse: CreditNotEnough
    delay: 2
    times: 3
    variants: {status: number}
  - provider: ferzz
    variants:
      length: 6
    malformed: html
  - {provider: telefon-ip, foreign_caller: "89000000013", hang: true, lose: true, double: true, hidden_caller: true}
handsets:
  - phone: "09120000000"
  - phone: "+79000000000"
    dials_after: 2
    caller: "+79000000013"
  - phone: "+79000000001"
    dials_after: 0.5
    hidden: true
webhooks:
  ssms: http://127.0.0.1:8000/phone/webhooks/ssms/secret
lines:
  telefon-ip: ["79990000099"]
  ssms: ["+78000000098", "+78000000099"]
"""

Planned = list[tuple[float, Callable[[], object]]]


def put(client: Client, text: str | bytes, mimetype: str = "application/yaml") -> Any:
    return client.put("/api/scenario", data=text, content_type=mimetype)


def ask_to_call(client: Client, phone: str = "89000000000") -> Any:
    body = {"phone": phone, "webhook": "http://127.0.0.1:8000/hook"}
    response = client.post("/api/v1/authcalls/T/reverse_auth_phone_post", json=body)
    response.close()
    return response.get_json()["data"]


def checked(client: Client, id: int) -> Any:
    return client.get(f"/api/v1/authcalls/T/reverse_auth_phone_check/{id}").get_json()["data"]


def test_file_is_read_in_full() -> None:
    scenario = read_scenario(WHOLE)
    (amoot, amoot_phone, fault), (_, nobody, ferzz), (_, _, telefon) = scenario.faults
    assert (amoot, amoot_phone, nobody) == ("amoot", OTHER, None)
    assert (fault.refuse, fault.delay, fault.times, dict(fault.variants)) == (
        "CreditNotEnough", 2.0, 3, {"status": "number"},
    )  # fmt: skip
    assert (dict(ferzz.variants), ferzz.malformed) == ({"length": "6"}, "html")
    assert (telefon.foreign_caller, telefon.hang, telefon.lose) == ("+79000000013", True, True)
    assert (telefon.double, telefon.hidden_caller) == (True, True)
    assert scenario.handsets == (
        (OTHER, None), (PHONE, Habit(2.0, "+79000000013")), ("+79000000001", Habit(0.5, None, True)),
    )  # fmt: skip
    assert scenario.webhooks == {"ssms": "http://127.0.0.1:8000/phone/webhooks/ssms/secret"}
    assert scenario.lines == {"telefon-ip": ("+79990000099",), "ssms": ("+78000000098", "+78000000099")}


def test_saved_scenario_loads_unchanged(client: Client) -> None:
    loaded = put(client, WHOLE)
    assert loaded.status_code == 200
    saved = client.get("/api/scenario")
    assert (saved.mimetype, saved.headers["Content-Disposition"]) == (
        "application/yaml", 'attachment; filename="scenario.yaml"',
    )  # fmt: skip
    assert saved.text.startswith("# ")
    with SandboxServer() as server:
        other = Client(server.sandbox)
        assert put(other, saved.text).get_json() == loaded.get_json()
        assert other.get("/api/scenario").text == saved.text
        as_json = other.get("/api/scenario", headers={"Accept": "application/json"})
        assert put(client, as_json.data, "application/json").get_json() == loaded.get_json()


@in_one_test
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
def test_every_fault_and_dialect_can_be_saved(sandbox: Sandbox, provider: Any) -> None:
    # The phone is in two places, with a fault and without, so that the file has each choice once.
    for variant, choices in provider.variants.items():
        for choice in choices:
            fault = Fault(refuse=provider.refusals[-1], variants={variant: choice}, delay=0.5, malformed=True)
            sandbox.faults.put(provider.name, PHONE, fault)
            assert read_scenario(present(sandbox).as_text()).faults == sandbox.faults.all()


def test_empty_scenario_has_no_faults(client: Client, sandbox: Sandbox) -> None:
    put(client, WHOLE)
    client.post("/rest/SendQuickOTP", data={"Mobile": "9350000000", "CodeLength": "4", "Token": "T"})
    assert put(client, "").status_code == 200
    assert client.get("/api/scenario", headers={"Accept": "application/json"}).get_json().keys() == {"handsets"}
    assert sandbox.faults.all() == ()
    assert (sandbox.network.webhooks(), sandbox.network.lines()) == ({}, {})
    assert {handset.habit for handset in sandbox.network.handsets()} == {None}
    # Received messages are kept.
    assert len(client.get("/api/handsets/+989350000000").get_json()["messages"]) == 1


def test_used_up_fault_is_saved_in_its_state(client: Client) -> None:
    put(client, "faults: [{provider: amoot, refuse: Failed, times: 2}]")
    client.post("/rest/SendQuickOTP", data={"Mobile": "9350000000", "CodeLength": "4", "Token": "T"})
    assert "times: 1" in client.get("/api/scenario").text


@in_one_test
@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("faults: 7", "faults", "line 1: write a list of at most 200"),
        ("\n- faults", "", "line 2: write names with values: faults, handsets, webhooks, lines"),
        ("fault: []", "fault", "line 1: unknown; known are: faults, handsets, webhooks, lines"),
        ("faults:\n  - provider: nobody", "faults[0].provider", "line 2: write one of: amoot, "),
        ("faults:\n  -\n", "faults[0]", "line 2: write names with values: provider"),
        ("faults:\n  - provider: amoot\n    refuse: Broke", "faults[0].refuse", "line 3: write null or one of: Failed"),
        ("faults:\n  - provider: amoot\n    explode: 1", "faults[0].explode", "line 3: write nothing; known"),
        ("faults:\n  - provider: amoot\n    phone: x", "faults[0].phone", "line 3: write a phone number"),
        ("faults:\n  - provider: ferzz\n    variants: {length: 9}", "faults[0].variants", "line 3: write an object of"),
        ("faults: [{provider: amoot}, {provider: amoot}]", "faults[1]", "already have a fault"),
        ("handsets:\n  - phone: 12", "handsets[0].phone", "line 2: write a phone number"),
        ("handsets:\n  - {dials_after: 1}", "handsets[0].phone", "line 2: write a phone number"),
        ('handsets: ["+989120000000"]', "handsets[0]", "write names with values: phone"),
        ('handsets:\n  - phone: "+989120000000"\n    dials_after: soon', "handsets[0].dials_after", "line 3: write s"),
        ('handsets:\n  - phone: "+989120000000"\n    dials_after: true', "handsets[0].dials_after", "line 3: write s"),
        ('handsets:\n  - phone: "+989120000000"\n    dials_after: 61', "handsets[0].dials_after", "0 to 60"),
        ('handsets:\n  - phone: "+989120000000"\n    hidden: true', "handsets[0].hidden", "set dials_after too"),
        ('handsets:\n  - {phone: "+989120000000", dials_after: 1, hidden: 1}', "handsets[0].hidden", "true or false"),
        ('handsets:\n  - {phone: "+989120000000", types: 1}', "handsets[0].types", "line 2: unknown"),
        ("handsets: [{phone: '09120000000'}, {phone: '+989120000000'}]", "handsets[1].phone", "already in the list"),
        ("webhooks:\n  ssms: https://site.example/", "webhooks.ssms", "line 2: write plain http on this machine"),
        ("webhooks: {amoot2: http://127.0.0.1/}", "webhooks.amoot2", "unknown; known are"),
        ("lines: {amoot: [+79990000001]}", "lines.amoot", "unknown; known are: "),
        ("lines: {ssms: []}", "lines.ssms", "write a list of 1 to"),
        ("lines: {ssms: [1]}", "lines.ssms[0]", "write a phone number"),
        ('lines: {ssms: ["+79990000001"]}', "lines.ssms", "write numbers that telefon-ip does not have"),
        ("a: [", "", "line 1"),
    ],
)  # fmt: skip
def test_wrong_file_error_has_line_field_and_fix(
    client: Client, sandbox: Sandbox, text: str, field: str, said: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(text)
    assert said in caught.value.fields[field]
    assert said in str(caught.value)
    put(client, "faults: [{provider: amoot, lose: true}]")
    response = put(client, text)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert said in response.get_json()["fields"][field or "file"]
    # Existing entries are kept.
    assert len(sandbox.faults.all()) == 1


def test_all_errors_are_reported_together() -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario("fault: 1\nhandsets: [{phone: x}]\nlines: 7\n")
    assert list(caught.value.fields) == ["fault", "handsets[0].phone", "lines"]


@in_one_test
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1\n", "line 3"),
        ("faults: &x []\nhandsets: *x\n", "aliases (*) are not supported"),
        ("a: 1\nb: !!python/object:os.system {}\n", "line 2: write the value in quotes, without a tag"),
        ("a: !!bool x", "line 1: write the value in quotes, without a tag"),
        ("1: x", "line 1: write the name in quotes"),
        ("faults: []\nfaults: []\n", "line 2: duplicate name"),
        ("faults: [{provider: amoot, provider: ssms}]", "line 1: duplicate name"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("\tx: 1", "line 1"),
        ("a: \x00", "remove the control characters"),
        ("a: 2026-13-01", "line 1: write the value in quotes"),
        ("[" * 20_000, "too deeply"),
        ("x" * (LARGEST_FILE + 1), "64 KiB"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(said)):
        read_scenario(text)


@pytest.mark.parametrize("written", ["+989120000000", "989120000000", "07120000000"])
def test_number_without_quotes_is_refused(written: str) -> None:
    """YAML reads it as a number: it loses its plus sign, or is octal."""
    with pytest.raises(ScenarioError, match=r'in quotes: "\+989120000000"'):
        read_scenario(f"handsets: [{{phone: {written}}}]")


@given(st.text(max_size=200) | st.text("[]{}:,-&*!|>'\"%@ \n#ab1+.", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with suppress(ScenarioError):
        read_scenario(text)


def test_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_scenario_is_bounded() -> None:
    for part, most in (("faults", MAX_FAULTS), ("handsets", MAX_HANDSETS)):
        with pytest.raises(ScenarioError, match=f"at most {most}"):
            scenario_of({part: [{}] * (most + 1)})


@pytest.mark.parametrize("body", [b"\xff", b'{"faults": [', b"[]"])
@pytest.mark.parametrize("mimetype", ["application/yaml", "application/json"])
def test_unreadable_body_is_400(client: Client, body: bytes, mimetype: str) -> None:
    assert put(client, body, mimetype).status_code == 400


@pytest.mark.parametrize("mimetype", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_cross_site_content_types_are_415(client: Client, mimetype: str) -> None:
    assert put(client, WHOLE, mimetype).status_code == 415


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([PHONE, "ssms"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(
        st.sampled_from(["faults", "handsets", "webhooks", "lines", "provider", "phone", "dials_after", "refuse",
                         "ssms", "caller", "hidden", "variants", "delay", "x"]), each, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_any_document_loads_or_is_refused(value: object) -> None:
    try:
        scenario = scenario_of(value)
    except ScenarioError:
        pass
    else:
        assert read_scenario(scenario.as_text()) == scenario


def test_handset_may_dial_by_itself(client: Client, planned: Planned, asked: list[str]) -> None:
    put(client, f'handsets: [{{phone: "{PHONE}", dials_after: 2}}]')
    started = ask_to_call(client)
    ((seconds, call),) = planned
    assert (seconds, asked) == (2.0, [])
    call()
    assert checked(client, started["id"])["status"] == "ok"
    assert len(asked) == 1
    ask_to_call(client, "89000000001")
    assert len(planned) == 1


@pytest.mark.parametrize(("manner", "seen"), [("hidden: true", "anonymous"), ('caller: "89000000013"', "89000000013")])
def test_handset_may_hide_or_spoof_its_number(
    client: Client, planned: Planned, asked: list[str], manner: str, seen: str
) -> None:
    put(client, f'handsets: [{{phone: "{PHONE}", dials_after: 0, {manner}}}]')
    ask_to_call(client)
    planned[0][1]()
    assert f"phone={seen}" in asked[0]


def test_handset_dials_only_a_number_it_was_given(client: Client, sandbox: Sandbox, planned: Planned) -> None:
    put(client, f'handsets: [{{phone: "{PHONE}", dials_after: 0}}]')
    sandbox.faults.put("telefon-ip", None, Fault(hang=True))
    with pytest.raises(ConnectionAbortedError):
        ask_to_call(client)
    assert planned == []


def test_page_shows_the_habit(client: Client) -> None:
    put(client, f'handsets: [{{phone: "{PHONE}", dials_after: 2, hidden: true}}]')
    assert client.get(f"/api/handsets/{PHONE}").get_json()["habit"] == {
        "dials_after": 2.0, "caller": None, "hidden": True,
    }  # fmt: skip


def test_scenario_lines_are_assigned_and_answered(client: Client) -> None:
    put(client, 'lines: {telefon-ip: ["+79990000099"]}')
    started = ask_to_call(client)
    assert started["auth_phone"] == "79990000099"

    def dial(number: str) -> Any:
        return client.post(f"/api/handsets/{PHONE}/dial", json={"number": number}).get_json()

    assert dial("+79990000099")["matched"]
    assert not dial("+79990000001")["busy"]
    put(client, "")
    assert ask_to_call(client)["auth_phone"] != "79990000099"
    assert dial("+79990000001")["busy"]


def test_timers_fire_once_and_never_after_close() -> None:
    done, timers = threading.Event(), Timers()
    timers.after(0, done.set)
    assert done.wait(30)
    before = set(threading.enumerate())
    acted: list[int] = []
    for _ in range(MAX_TIMERS + 5):
        timers.after(60, lambda: acted.append(1))
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert len(started) <= MAX_TIMERS
    timers.stop()
    timers.after(0, lambda: acted.append(2))
    for thread in started:
        thread.join(30)
        assert not thread.is_alive()
    assert acted == []


def test_call_follows_the_response_over_real_http(site: tuple[str, list[str]]) -> None:
    url, heard = site
    with SandboxServer() as server:
        network = server.sandbox.network
        load(server.sandbox, read_scenario(f'handsets: [{{phone: "{PHONE}", dials_after: 0}}]'))
        connection = HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0, timeout=30)
        body = json.dumps({"phone": "89000000000", "webhook": f"{url}/hook"})
        path = "/api/v1/authcalls/T/reverse_auth_phone_post"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        id = json.loads(connection.getresponse().read())["data"]["id"]
        connection.close()
        deadline = time.monotonic() + 30
        while not heard and time.monotonic() < deadline:
            # The webhook follows the last change.
            network.changed(network.version, 0.05)
        assert heard == [f"GET /hook?success=True&phone=89000000000&id={id}"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_scenarios_load(path: Path, sandbox: Sandbox) -> None:
    scenario = read_scenario(path.read_text("utf-8"))
    load(sandbox, scenario)
    assert read_scenario(present(sandbox).as_text()) == scenario


def test_example_scenarios_exist() -> None:
    assert [path.stem for path in EXAMPLES] == ["bad_reception", "callers", "failover"]


def command(*words: str) -> list[str]:
    return [
        sys.executable,
        "-u",
        "-c",
        "from phone_verify.cli.main import main; main()",
        "sandbox",
        "--port",
        "0",
        *words,
    ]


def test_command_plays_a_file(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(WHOLE, "utf-8")
    running = subprocess.Popen(command("--scenario", str(file)), stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        url = running.stdout.readline().split()[-1]
        connection = HTTPConnection("127.0.0.1", urlsplit(url).port or 0, timeout=10)
        connection.request("GET", "/api/scenario")
        assert read_scenario(connection.getresponse().read().decode()) == read_scenario(WHOLE)
        connection.close()
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"faults:\n  - provider: nobody\n", "faults[0].provider: line 2: write one of: amoot"), (b"\xff", "not UTF-8")],
)
def test_command_reports_a_wrong_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    done = subprocess.run(command("--scenario", str(file)), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"invalid scenario {file}" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
