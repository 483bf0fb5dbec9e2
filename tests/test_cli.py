"""The command line in a separate process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click
import pytest
import urllib3

from phone_verify.cli.commands.demo import demo as demo_command
from phone_verify.cli.commands.drivers import drivers as drivers_command
from phone_verify.cli.demo import PROTOCOLS, Demo, DemoError, framed, next_free_port
from phone_verify.cli.driver_list import Entry, entries, show_one
from phone_verify.config.drivers import load_drivers
from phone_verify.drivers.dsn import driver_class, schemes
from phone_verify.model import Channel
from phone_verify.sandbox import SandboxServer
from tests.cases import in_one_test

from . import forks
from .clients import Browser, HttpCarrier
from .scenarios import (
    Stage,
    a_known_number_is_the_same_user,
    flash_call_to_session,
    inbound_call_to_session,
    pages_sign_in_by_code,
    start,
)
from .servers import free_port


def free_ports(count: int) -> list[int]:
    """Return free ports, which differ."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `phone-verify` with these arguments, interrupted as by Ctrl-C at the end."""
    program = "from phone_verify.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            raise


def answer(
    *words: str, without: str | None = None, folder: Path | None = None, typed: str | None = None, **environ: str
) -> tuple[int, str]:
    """Return the exit status and output of a command; `without` names a missing package, `typed` is its input."""
    program = "from phone_verify.cli.main import main; main()"
    if without:
        command = [sys.executable, "-c", f"import sys; sys.modules[{without!r}] = None\n{program}", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment(**environ), input=typed, capture_output=True, text=True, timeout=60
        )
    else:
        command = [sys.executable, "-c", program, *words]
        done = forks.run(command, cwd=folder, env=environment(**environ), input=typed or "", timeout=60)
    return done.returncode, done.stdout + done.stderr


def environment(**ours: str) -> dict[str, str]:
    """Return this process's environment without a site, plus the variables `ours`."""
    sites = ("PHONE_VERIFY_", "DJANGO_SETTINGS_MODULE", "FLASK_APP", "DATABASE_URL", "SECRET_KEY")
    looks = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if not name.startswith(sites + looks)} | ours


def line_with(running: subprocess.Popen[str], what: str) -> str:
    """Return the next line that contains `what`."""
    assert running.stdout is not None
    for line in running.stdout:
        if what in line:
            return line
    raise AssertionError(f"it ended without saying {what!r}")


def test_sandbox_runs_until_interrupted() -> None:
    (port,) = free_ports(1)
    with command("sandbox", "--port", str(port)) as running:
        assert f"http://127.0.0.1:{port}/" in line_with(running, "Handsets")
        assert f"sandbox://127.0.0.1:{port}" in line_with(running, "For a site")
        assert urllib3.request("GET", f"http://127.0.0.1:{port}/api/handsets", timeout=60).json() == {"handsets": []}


def test_taken_port_and_foreign_host_are_reported() -> None:
    with SandboxServer() as server:
        port = str(urlsplit(server.url).port)
        for words in (
            ("sandbox", "--port", port),
            ("demo", "--no-browser", "--port", port),
            ("sandbox", "--host", "0.0.0.0"),
        ):
            status, said = answer(*words)
            assert status != 0
            assert "Traceback" not in said
            assert "is in use; choose another one with --port" in said or "loopback" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["drivers"],
        ["drivers", "ssms"],
        ["config", "--environment"],
        ["doctor", "--environment", "--offline"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_commands_of_a_base_install_print_plain_text(words: list[str], tmp_path: Path) -> None:
    """With rich and without it they say the same, but for the width of columns."""
    styled, plain = (
        answer(*words, without=package, folder=tmp_path, PHONE_VERIFY_SMS="console://", COLUMNS="300")
        for package in (None, "rich")
    )
    assert "Traceback" not in plain[1]
    assert (plain[0], plain[1].split()) == (styled[0], styled[1].split())


@pytest.mark.slow
@pytest.mark.parametrize(("package", "words", "extra"), [
    ("werkzeug", ["sandbox"], "phone-verify[sandbox]"),
    ("werkzeug", ["demo"], "phone-verify[demo]"),
    ("django", ["doctor", "--django", "settings"], "phone-verify[django]"),
    ("flask", ["doctor", "--flask", "app:app"], "phone-verify[flask]"),
])  # fmt: skip
def test_missing_extra_is_named(package: str, words: list[str], extra: str) -> None:
    status, said = answer(*words, without=package)
    assert status != 0
    assert f"pip install '{extra}'" in said
    assert "Traceback" not in said


def test_help_and_version_are_printed() -> None:
    assert "sandbox" in answer("--help")[1]
    assert re.search(r"\d+\.\d+\.\d+", answer("--version")[1])


@pytest.fixture(scope="module")
def running_demo() -> Iterator[tuple[Demo, list[str]]]:
    """A running demo, and the lines that it has printed."""
    port, django, flask = free_ports(3)
    said: list[str] = []
    with Demo(port, {"django": django, "flask": flask}, say=said.append) as demo:
        yield demo, said


@pytest.mark.slow
def test_demo_signs_in_on_both_sites_by_three_channels(running_demo: tuple[Demo, list[str]]) -> None:
    demo, said = running_demo
    for name, url in demo.site_urls.items():
        stage = Stage(lambda url=url: HttpCarrier(url), demo.sandbox)  # type: ignore[misc]
        for scenario in (
            a_known_number_is_the_same_user, flash_call_to_session, inbound_call_to_session, pages_sign_in_by_code,
        ):  # fmt: skip
            scenario(stage)
        assert any(name.capitalize() in line for line in said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "channels", "webhooks"), [("sinch", ("sms", "flash_call"), 5), ("telegram-gateway", ("telegram",), 1)]
)
def test_demo_uses_the_protocol_of_a_provider(provider: str, channels: Sequence[str], webhooks: int) -> None:
    """Each site signs in by it, and its own webhook is asked or reported to."""
    port, django, flask = free_ports(3)
    with Demo(port, {"django": django, "flask": flask}, say=lambda _: None, provider=provider) as demo:
        journal = demo.sandbox.sandbox.journal
        for url in demo.site_urls.values():
            journal.clear()
            stage = Stage(lambda url=url: HttpCarrier(url), demo.sandbox)  # type: ignore[misc]
            for channel in channels:
                browser, phone = stage.browser(), stage.phone()
                begun = start(browser, phone, channel=channel)
                answer = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": stage.code(phone)})
                assert answer.status == 200, answer.text
            messages = (item for each in demo.sandbox.sandbox.network.handsets() for item in each.messages)
            assert {message.provider for message in messages} == {provider}
            end = time.monotonic() + 60
            while len(journal.deliveries()) < webhooks and time.monotonic() < end:
                time.sleep(0.02)
            assert len(journal.deliveries()) == webhooks
            assert {(each.url.rpartition("/")[0], each.status) for each in journal.deliveries()} == {
                (f"{url}/phone/webhooks/{provider}", 200)
            }


def test_every_protocol_of_the_demo_is_a_choice() -> None:
    chosen = next(each for each in demo_command.params if each.name == "provider").type
    assert isinstance(chosen, click.Choice)
    assert set(chosen.choices) == PROTOCOLS.keys()


@pytest.mark.slow
def test_short_address_shows_sites_that_allow_the_frame(running_demo: tuple[Demo, list[str]]) -> None:
    demo, _ = running_demo
    assert urlsplit(demo.url).path == "/demo"
    beside = urllib3.request("GET", demo.url, timeout=60)  # follows the redirect
    for url in demo.site_urls.values():
        assert f'src="{url}/"' in beside.data.decode()
        for path in ("/", "/phone/login/"):
            headers = urllib3.request("GET", f"{url}{path}", timeout=60).headers
            assert "x-frame-options" not in headers
            # Every policy of the page applies.
            policies = headers.getlist("content-security-policy")
            assert {re.sub(r".*frame-ancestors ", "", policy) for policy in policies} == {demo.sandbox.url}


@pytest.mark.slow
def test_demo_is_not_closed_by_its_limits(running_demo: tuple[Demo, list[str]]) -> None:
    """More starts from one address, to one phone and to one range of numbers than any default allows."""
    demo, _ = running_demo
    for url in demo.site_urls.values():
        browser = Browser(HttpCarrier(url))
        for number in range(120):
            answer = browser.call("POST", "v1/verifications", {"phone": f"+98913000{number:04}"})
            assert answer.status == 201, (number, answer.text)


@pytest.mark.slow
def test_demo_prints_the_codes_that_arrive(running_demo: tuple[Demo, list[str]]) -> None:
    demo, said = running_demo
    demo.print_arrivals()
    before = len(said)
    url = demo.site_urls["flask"]
    Browser(HttpCarrier(url)).call("POST", "v1/verifications", {"phone": "+989140000000", "channel": "sms"})
    found = demo.sandbox.sandbox.network.await_code("+989140000000", after=0, timeout=60)
    demo.print_arrivals()
    assert found is not None
    assert said[before:] == [f"+989140000000  SMS, code {found.code}"]
    demo.print_arrivals()
    assert len(said) == before + 1
    for channel, what in (("whatsapp", "WhatsApp message"), ("voice", "Voice call from +15005550010")):
        phone = f"+98914000{len(said):04}"
        Browser(HttpCarrier(url)).call("POST", "v1/verifications", {"phone": phone, "channel": channel})
        found = demo.sandbox.sandbox.network.await_code(phone, after=0, timeout=60)
        demo.print_arrivals()
        assert found is not None
        assert said[-1] == f"{phone}  {what}, code {found.code}"


@pytest.mark.slow
def test_demo_shows_the_admin_to_its_staff(running_demo: tuple[Demo, list[str]]) -> None:
    demo, _ = running_demo
    staff = Browser(HttpCarrier(demo.site_urls["django"]))
    answer = staff.post_form("/admin/login/", username="staff", password=demo.staff_password, next="/admin/")
    assert (answer.status, answer.location) == (302, "/admin/")
    assert "/admin/phone_verify_django/verificationrow/" in staff.get("/admin/").text
    assert staff.get("/static/admin/css/base.css").status == 200


def test_port_in_use_is_replaced_by_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        free = next_free_port(taken)
        assert free > taken
        assert next_free_port(taken, [free]) > free
    assert next_free_port(taken) == taken


@pytest.mark.slow
def test_demo_is_quiet_and_names_other_ports() -> None:
    with socket.socket() as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # another program may have the port, which is the same to us
            first.bind(("127.0.0.1", 8000))
            first.listen()
        with command("demo", "--no-browser") as running:
            assert re.search(r"Port 8000 is in use; using \d+ for django", line_with(running, "Port 8000"))
            django = re.search(r"http://[^/]+", line_with(running, "Django site"))
            assert django
            address = line_with(running, "Open http://")
            assert re.search(r"│ Open http://127\.0\.0\.1:\d+/demo +│", address)
            for path in ("/", "/favicon.ico", "/nosuch", "/phone/login/"):
                urllib3.request("GET", f"{django[0]}{path}", timeout=60)
            running.send_signal(signal.SIGINT)
            assert running.stdout is not None
            rest = running.stdout.read()
            assert "favicon" not in rest
            assert "nosuch" not in rest
            assert "INFO" not in rest


def test_demo_that_cannot_start_leaves_nothing_running() -> None:
    port, django, flask = free_ports(3)
    with socket.create_server(("127.0.0.1", flask)), pytest.raises(DemoError, match="--flask-port"):
        Demo(port, {"django": django, "flask": flask}, say=lambda _: None).__enter__()
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", django)):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [pytest.param("Handsets", id="starting"), pytest.param("Open http", id="running", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_demo_leaves_nothing_after_signal(number: signal.Signals, line: str, tmp_path: Path) -> None:
    port, django, flask = map(str, free_ports(3))
    # `nohup`, under which a test run may be, ignores HUP, and the demo respects that.
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from phone_verify.cli.main import main; main()"
    )
    words = ("demo", "--no-browser", "--port", port, "--django-port", django, "--flask-port", flask)
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *words],
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        line_with(running, line)
        assert line == "Handsets" or [*tmp_path.iterdir()]
        running.send_signal(number)
        # The sites share this pipe: it ends when the last of them has ended.
        said, _ = running.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_demo_ignores_hangup_under_nohup(tmp_path: Path) -> None:
    program = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from phone_verify.cli.demo import StopSignals\n"
        "with StopSignals() as signals:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    signals.check()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(), check=False, timeout=60)
    assert done.returncode == 0


def test_only_the_handsets_page_may_frame_a_site() -> None:
    def application(environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [("X-Frame-Options", "DENY"), ("X", "y")])  # type: ignore[operator]
        return [b""]

    seen: list[tuple[str, str]] = []
    framed(application, "http://127.0.0.1:8025")({}, lambda status, headers: seen.extend(headers))
    assert seen == [("X", "y"), ("Content-Security-Policy", "frame-ancestors http://127.0.0.1:8025")]


def test_drivers_are_listed_within_80_columns() -> None:
    status, said = answer("drivers", COLUMNS="80")
    assert status == 0
    # A DSN stays in one line, to be copied.
    assert max(len(line) for line in said.splitlines() if "://" not in line) <= 80
    for entry in entries():
        row = next(line for line in said.splitlines() if line.split()[:1] == [entry.scheme])
        assert next(iter(entry.abilities)).label.split()[0] in row
        assert all(dsn in said for dsn in entry.dsns)
        # A long label continues in the next line.
        assert all(word in said for channel in entry.abilities for word in channel.label.split())
    assert {entry.scheme for entry in entries()} == {*schemes(), "sandbox"}


@in_one_test
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.scheme)
def test_one_driver_is_shown_with_options_and_roles(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: a command for each driver would take a second each."""
    show_one(entry)
    words = [word.removesuffix(":") for word in capsys.readouterr().out.split()]
    required = (name for name, option in entry.options.items() if option.required)
    for word in (*entry.settings, *required, *(role.split()[0] for role in entry.roles)):
        assert word in words
    assert all(any(each.startswith(option) for each in words) for option in entry.options)


def test_command_shows_one_driver() -> None:
    status, said = answer("drivers", "evand", COLUMNS="60")
    assert status == 0
    assert "event_id" in said
    assert "amoot" not in said


def test_drivers_are_filtered_by_channel_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, because each command would take a second."""

    def listed(*words: str) -> dict[str, Any]:
        drivers_command.main([*words, "--json"], standalone_mode=False)
        return {document["scheme"]: document for document in json.loads(capsys.readouterr().out)}

    voice = listed("--channel", "voice")
    assert {"kavenegar", "twilio-verify", "sinch"} <= set(voice)
    assert "amoot" not in voice
    assert {channel for document in voice.values() for channel in document["channels"]} == {"voice"}
    assert set(listed("--search", "TWILIO")) == {"twilio", "twilio-verify"}
    assert set(listed("--search", "programmable mess")) == {"twilio"}, "by the provider's name"
    assert set(listed("--search", "twilio", "--channel", "voice")) == {"twilio-verify"}
    assert "whatsapp_sender" in listed("--search", "twilio", "--channel", "whatsapp")["twilio"]["dsns"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search", "no-such-driver"], "no driver matches"),
        (["amoot", "--channel", "sms"], "leave out NAME"),
        (["--channel", "fax"], "sms"),
    ],
)
def test_filter_of_drivers_without_result_is_an_error(words: list[str], said: str) -> None:
    with pytest.raises(click.ClickException) as raised:
        drivers_command.main(words, standalone_mode=False)
    assert said in raised.value.format_message()


def test_unknown_driver_gets_the_nearest_name() -> None:
    status, said = answer("drivers", "amot")
    assert (status, "unknown driver 'amot'. Did you mean 'amoot'?" in said) == (2, True)
    assert json.loads(answer("drivers", "ssms", "--json")[1])[0]["scheme"] == "ssms"


def test_driver_json_matches_the_drivers() -> None:
    status, said = answer("drivers", "--json")
    assert status == 0
    by_scheme = {document["scheme"]: document for document in json.loads(said)}
    ssms = by_scheme["ssms"]
    assert ssms["channels"]["inbound_call"] == {
        "code": "none", "shortest": None, "longest": None, "life_seconds": 300.0,
    }  # fmt: skip
    assert ssms["channels"]["flash_call"]["longest"] == 4
    assert ssms["regions"] == ["KZ", "RU"]
    assert ssms["credential_forms"] == [["key"], ["email", "password"]]
    assert ssms["options"]["format"] == {
        "type": "choice", "choices": ["json", "xml"], "default": "json", "required": False, "needed_for": [],
        "example": None, "meaning": "the format of the responses",
    }  # fmt: skip
    assert (ssms["options"]["hook_url"]["type"], ssms["options"]["hook_url"]["default"]) == ("flag", "off")
    assert by_scheme["evand"]["options"]["event_id"]["required"] is True
    assert by_scheme["twilio"]["options"]["content_sid"]["needed_for"] == ["whatsapp"]
    assert set(by_scheme["twilio"]["channels"]) == {"sms", "whatsapp"}
    assert by_scheme["evand"]["channels"]["sms"]["shortest"] == 5
    assert "poll" in by_scheme["telefon-ip"]["roles"]
    assert by_scheme["console"]["regions"] is None


@in_one_test
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.scheme)
def test_every_listed_dsn_works(entry: Entry) -> None:
    if entry.scheme != "sandbox" and driver_class(entry.scheme).names_site:
        return
    for channel in entry.abilities:
        for dsn in entry.dsns if entry.scheme == "sandbox" else driver_class(entry.scheme).example_dsns(channel):
            assert list(load_drivers({channel.value: [dsn]})) == [Channel(channel)]


SOUND = {
    "PHONE_VERIFY_SMS": "console://",
    "PHONE_VERIFY_SECRET_KEYS": "hunter2-and-25-more-characters--",
    "PHONE_VERIFY_STORE": "memory:",
    "PHONE_VERIFY_REGION": "IR",
    "PHONE_VERIFY_ALLOWED_REGIONS": "IR",
}


def test_doctor_exits_1_on_errors_and_0_otherwise(tmp_path: Path) -> None:
    status, said = answer("doctor", folder=tmp_path, **SOUND)
    assert status == 0
    assert "no errors" in said
    status, said = answer("doctor", folder=tmp_path, **{**SOUND, "PHONE_VERIFY_SMS": "amoot://hunter2:hunter2@default"})
    assert status == 1
    assert "PHONE_VERIFY_SMS=amoot://TOKEN@default" in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_doctor_report_as_json_names_every_finding(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "phone_verify", "doctor", "--json"]
    environ = environment(**{**SOUND, "PHONE_VERIFY_SMS": "amot://hunter2@default"})
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, check=False, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["summary"] == {"errors": 1, "warnings": 2, "notes": 1, "ok": 1, "ignored": 0}
    assert report["findings"][0] == {
        "id": "PV103",
        "level": "error",
        "setting": "PHONE_VERIFY_SMS",
        "message": "Unknown driver 'amot'. Did you mean 'amoot'?",
        "advice": "Run `phone-verify drivers` for the format of each driver's DSN.",
    }
    assert report["findings"][-1]["setting"] is None
    assert "using environment variables only" in done.stderr


def test_doctor_fails_on_warnings_only_in_strict_mode(tmp_path: Path) -> None:
    assert answer("doctor", "--offline", folder=tmp_path, **SOUND)[0] == 0
    status, said = answer("doctor", "--offline", "--strict", folder=tmp_path, **SOUND)
    assert (status, "no errors, 3 warnings" in said) == (1, True)
    ignored = "PV205,PV401,PV603"
    status, said = answer("doctor", "--offline", "--strict", "--ignore", ignored, folder=tmp_path, **SOUND)
    assert (status, "no errors, no warnings" in said, "3 ignored" in said) == (0, True, True)
    assert "PV205" not in said
    status, said = answer("doctor", "--ignore", "PV1000", folder=tmp_path)
    assert (status, "unknown id 'PV1000'; did you mean PV" in said) == (2, True)


def test_doctor_queries_the_providers_unless_offline(sandbox: SandboxServer, tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    settings = {**SOUND, "PHONE_VERIFY_SMS": f"{sandbox.dsn} amoot://hunter2@127.0.0.1:{nobody}?tls=off"}
    status, said = answer("doctor", folder=tmp_path, **settings)
    assert status == 1
    assert "Checking the account at amoot" in said
    assert "amoot: the credential works, balance" in said
    assert "amoot-2 could not be reached" in said
    assert "hunter2" not in said
    status, said = answer("doctor", "--offline", folder=tmp_path, **settings)
    assert status == 0
    assert "Checking" not in said


def test_doctor_shows_webhook_secrets_only_when_asked(tmp_path: Path) -> None:
    settings = {
        **SOUND,
        "PHONE_VERIFY_INBOUND_CALL": "ssms://K@default",
        "PHONE_VERIFY_PUBLIC_URL": "https://site.example",
        "PHONE_VERIFY_WEBHOOK_SECRET": "hunter3-0123456789abcdefgh",
    }
    _, masked = answer("doctor", "--offline", folder=tmp_path, **settings)
    assert "/webhooks/ssms/SECRET" in masked
    assert "hunter3" not in masked
    _, shown = answer("doctor", "--offline", "--show-webhook-urls", folder=tmp_path, **settings)
    assert "https://site.example/phone/webhooks/ssms/" + "hunter3-0123456789abcdefgh" in shown


DJANGO_SETTINGS = """
SECRET_KEY = "hunter2-and-25-more-characters--"
USE_TZ = True
DEBUG = False
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "phone_verify_django"]
AUTHENTICATION_BACKENDS = ["phone_verify_django.backends.PhoneBackend"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
ROOT_URLCONF = "routes"
PHONE_VERIFY = {"sms": "console://", "region": "IR", "allowed_regions": ["IR"], "public_url": "https://site.example"}
"""
DJANGO_ROUTES = """
from django.urls import include, path
urlpatterns = [path("tel/", include("phone_verify_django.urls"))]
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chosen")
execute_from_command_line(sys.argv)
"""


def django_site(folder: Path, more: str = "", routes: str = DJANGO_ROUTES) -> Path:
    """Create a Django project in this folder; `more` is the end of its settings."""
    (folder / "chosen.py").write_text(DJANGO_SETTINGS + more)
    (folder / "routes.py").write_text(routes)
    (folder / "manage.py").write_text(MANAGE)
    return folder


def test_doctor_reads_a_django_site_with_store_and_mount(tmp_path: Path) -> None:
    folder = django_site(tmp_path, "PHONE_VERIFY['inbound_call'] = 'ssms://hunter2@127.0.0.1:1?tls=off'\n")
    status, said = answer("doctor", "--django", "chosen", folder=folder)
    assert status == 1
    assert "store does not answer" in said
    assert "manage.py migrate" in said
    assert "https://site.example/tel/webhooks/ssms/SECRET" in said
    assert "hunter2" not in said
    forks.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=folder, env=environment()).check_returncode()
    for words, environ in (
        (["--django", "chosen"], {}),
        ([], {}),  # manage.py is here
        ([], {"DJANGO_SETTINGS_MODULE": "chosen"}),
    ):
        _, said = answer("doctor", *words, folder=folder, **environ)
        assert "The store answers" in said
        assert "Django's own SECRET_KEY" in said
        assert words or "Using Django settings chosen" in said
    _, said = answer("doctor", "--environment", folder=folder)
    assert "No channel is configured" in said


def test_doctor_reports_every_mistake_of_a_broken_django_site(tmp_path: Path) -> None:
    more = "PHONE_VERIFY.update(sms='nonsense', ttl=5, tll=6)\nAUTHENTICATION_BACKENDS = []\nSECRET_KEY = 'hunter2'\n"
    folder = django_site(tmp_path, more, routes="urlpatterns = []")
    status, said = answer("doctor", folder=folder)
    assert status == 1
    assert "Traceback" not in said
    for words in ("PHONE_VERIFY['sms']", "30 seconds to 600", "PHONE_VERIFY['tll']", "32 characters"):
        assert words in said
    assert "hunter2" not in said
    more = "AUTHENTICATION_BACKENDS = ['django.contrib.auth.backends.ModelBackend']\n"
    status, said = answer("doctor", folder=django_site(tmp_path, more, "urlpatterns = []"))
    assert status == 1
    assert "Sign-in by phone is impossible" in said
    assert "Providers cannot send webhooks to this site" in said
    status, said = answer("doctor", folder=django_site(tmp_path, "AUTHENTICATION_BACKENDS = []\n"))
    assert status == 1
    assert "Sign-in by phone is impossible" in said
    status, said = answer("doctor", folder=django_site(tmp_path, "PHONE_VERIFY = {'SMS': 'hunter2'}\n"))
    assert status == 1
    assert "lower case" in said
    status, said = answer("doctor", folder=django_site(tmp_path, "SECRET_KEY = ''\n"))
    assert status == 1
    assert "SECRET_KEY setting must not be empty" in said


FLASK_SITE = """
from flask import Flask
from flask_login import LoginManager
from phone_verify_flask import PhoneVerify

def create_app(region="IR"):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="hunter2-and-25-more-characters--")
    app.config.update(PHONE_VERIFY_SMS="console://", PHONE_VERIFY_REGION=region)
    app.config.update(PHONE_VERIFY_ALLOWED_REGIONS=["IR"], PHONE_VERIFY_PUBLIC_URL="https://site.example", **MORE)
    LoginManager(app)
    PhoneVerify(app, url_prefix="/tel")
    return app
"""


def test_doctor_reads_a_flask_application_or_its_factory(tmp_path: Path) -> None:
    more = {"PHONE_VERIFY_INBOUND_CALL": "ssms://hunter2@127.0.0.1:1?tls=off"}
    (tmp_path / "site5.py").write_text(f"MORE = {more!r}\n{FLASK_SITE}\napp = create_app()\n")
    for words, environ in (
        (["--flask", "site5:app"], {}),
        (["--flask", "site5:create_app"], {}),
        (["--flask", "site5:create_app('IR')"], {}),
        ([], {"FLASK_APP": "site5"}),
    ):
        _, said = answer("doctor", *words, folder=tmp_path, **environ)
        assert "Flask's own SECRET_KEY" in said
        assert "The store's file will be created when it is first used." in said
        assert "https://site.example/tel/webhooks/ssms/SECRET" in said
        assert "hunter2" not in said
    assert not (tmp_path / "instance" / "phone_verify.sqlite3").exists()


def test_doctor_reports_every_mistake_of_a_broken_flask_site(tmp_path: Path) -> None:
    more = {"PHONE_VERIFY_SMS": "nonsense", "PHONE_VERIFY_TTL": 5, "PHONE_VERIFY_TLL": 6}
    program = FLASK_SITE.replace('PHONE_VERIFY_SMS="console://", ', "")
    (tmp_path / "site5.py").write_text(f"MORE = {more!r}\n{program}\napp = create_app()\n")
    status, said = answer("doctor", "--flask", "site5:app", folder=tmp_path)
    assert status == 1
    for words in ("PHONE_VERIFY_SMS", "30 seconds to 600", "PHONE_VERIFY_TLL"):
        assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("words", "program", "told"), [
    (["--django", "nowhere"], "", "no module named nowhere"),
    (["--django", "site5"], "raise RuntimeError('hunter2')", "RuntimeError in"),
    (["--django", "site5"], "SECRET_KEY = 'hunter2'", "add 'phone_verify_django' to INSTALLED_APPS"),
    (["--flask", "nowhere:app"], "", "Could not import 'nowhere'"),
    (["--flask", "site5:app"], "raise RuntimeError('hunter2')", "RuntimeError in"),
    (["--flask", "site5:app"], "import hunter2", "cannot load"),
    (["--flask", "site5:other"], "", "Failed to find attribute 'other'"),
    (["--flask", "site5:app"], "from flask import Flask\napp = Flask(__name__)", "write PhoneVerify(app)"),
    (["--flask", "site5:app", "--environment"], "", "choose one of"),
])  # fmt: skip
def test_unloadable_site_is_reported(words: list[str], program: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "site5.py").write_text(program)
    status, said = answer("doctor", *words, folder=tmp_path)
    assert status != 0
    assert told in said
    assert "Traceback" not in said
    assert "'hunter2'" not in said


def code_at(sandbox: SandboxServer, phone: str) -> str:
    """Return the newest code of this handset once it has arrived."""
    found = urllib3.request("GET", f"{sandbox.url}/api/handsets/{quote(phone)}/code?wait=10", timeout=60)
    assert found.status == 200
    return str(found.json()["code"])


@contextmanager
def sending(*words: str, folder: Path, terminal: int | None = None, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run `phone-verify send` with these arguments; `terminal` sets whether it detects a terminal."""
    program = "from phone_verify.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program, "send", *words],
        cwd=folder,
        env=environment(**environ),
        stdin=subprocess.PIPE if terminal is None else terminal,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.STDOUT if terminal is None else terminal,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


def test_send_verifies_a_number_and_shows_no_code(sandbox: SandboxServer, tmp_path: Path) -> None:
    phone, settings = "+989121110001", {"PHONE_VERIFY_SMS": sandbox.dsn, "PHONE_VERIFY_REGION": "IR"}
    with sending("0912 111 0001", folder=tmp_path, **settings) as running:
        code = code_at(sandbox, phone)
        said, _ = running.communicate(f"0\n{code}\n", timeout=60)
        assert running.returncode == 0
    assert "no attempt used" in said
    assert "✓ Verified +98 ••••••••01 by SMS via amoot" in said
    assert code not in said
    assert phone not in said


def test_send_exits_1_at_end_of_input(sandbox: SandboxServer, tmp_path: Path) -> None:
    status, said = answer("send", "+989121110002", folder=tmp_path, typed="000\n", PHONE_VERIFY_SMS=sandbox.dsn)
    assert status == 1
    assert "End of input, cancelled." in said


def test_send_is_cancelled_by_ctrl_c(sandbox: SandboxServer, tmp_path: Path) -> None:
    with sending("+989121110003", folder=tmp_path, PHONE_VERIFY_SMS=sandbox.dsn) as running:
        code_at(sandbox, "+989121110003")
        line_with(running, "The code has 6 digits")
        running.send_signal(signal.SIGINT)
        assert running.stdout is not None
        said = running.stdout.read()
        assert running.wait(timeout=60) == 130
    assert "Cancelled." in said
    assert "Traceback" not in said


def test_send_confirms_before_it_costs_money(tmp_path: Path) -> None:
    settings = {"PHONE_VERIFY_SMS": "amoot://hunter2@127.0.0.2:1 amoot://hunter2@default"}
    for typed in ("n\n", "\n", ""):
        status, said = answer("send", "+989121110004", folder=tmp_path, typed=typed, **settings)
        assert status == 1
        assert "SMS to +98 ••••••••04 via amoot, falling back to amoot-2. This may cost money" in said
        assert "Starting" not in said


def test_send_reports_provider_refusals_and_the_reason(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    settings = {"PHONE_VERIFY_SMS": f"amoot://hunter2@127.0.0.1:{nobody}?tls=off"}
    status, said = answer("send", "+989121110005", folder=tmp_path, **settings)
    assert status == 1
    assert "! amoot did not accept an order by SMS: connection refused by 127.0.0.1" in said
    assert "all providers refused it" in said
    assert "hunter2" not in said
    assert "+989121110005" not in said


@pytest.mark.parametrize(("words", "environ", "told"), [
    (["12"], {}, "not a valid phone number"),
    (["0912 111 0006"], {}, "like --region IR"),
    (["+989121110006"], {"PHONE_VERIFY_SMS": ""}, "no channel is configured"),
    (["+989121110006"], {"PHONE_VERIFY_SMS": "nonsense"}, "phone-verify doctor"),
    (["+989121110006"], {"PHONE_VERIFY_STORE": "sqlite:///x.sqlite3"}, "PHONE_VERIFY_SECRET_KEYS is empty"),
    (["+989121110006", "--channel", "voice"], {}, "voice call is not configured"),
    (["+989121110006", "--channel", "pigeon"], {}, "'pigeon' is not one of"),
    (["+989121110006", "--locale", "xx"], {}, "supported: en, fa"),
])  # fmt: skip
def test_send_reports_impossible_requests(words: list[str], environ: dict[str, str], told: str, tmp_path: Path) -> None:
    status, said = answer("send", *words, folder=tmp_path, **{"PHONE_VERIFY_SMS": "console://", **environ})
    assert status != 0
    assert told in said
    assert "Traceback" not in said


def test_send_uses_the_store_of_the_django_site(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = django_site(tmp_path, f"PHONE_VERIFY['sms'] = {sandbox.dsn!r}\n")
    status, said = answer("send", "+989121110007", folder=folder)
    assert status == 1
    assert "The store does not answer" in said
    forks.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=folder, env=environment()).check_returncode()
    with sending("09121110007", "--django", "chosen", folder=folder) as running:
        said, _ = running.communicate(f"{code_at(sandbox, '+989121110007')}\n", timeout=60)
        assert running.returncode == 0


def test_inbound_call_is_counted_down_below_its_qr_code(sandbox: SandboxServer, tmp_path: Path) -> None:
    phone = "+79001110008"
    ours, theirs = pty.openpty()
    with sending(phone, folder=tmp_path, terminal=theirs, PHONE_VERIFY_INBOUND_CALL=sandbox.dsn) as running:
        os.close(theirs)
        screen = shown(ours, lambda text: "1:59" in text)
        assert "\r\x1b[K" in screen
        assert "█" in screen
        (line,) = re.findall(r"^    (\+[0-9]+ [0-9 -]+)", screen, re.MULTILINE)
        urllib3.request(
            "POST",
            f"{sandbox.url}/api/handsets/{quote(phone)}/dial",
            json={"number": re.sub(r"[ -]", "", line)},
            timeout=60,
        )
        assert "Verified" in shown(ours, lambda text: "Verified" in text)
        assert running.wait(timeout=60) == 0
    os.close(ours)


def shown(terminal: int, enough: Callable[[str], bool]) -> str:
    """Read the terminal's output until it suffices."""
    text = b""
    while not enough(text.decode("utf-8", "replace")):
        assert select.select([terminal], [], [], 20)[0], text
        text += os.read(terminal, 4096)
    return text.decode("utf-8", "replace")
