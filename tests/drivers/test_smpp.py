"""SMPP against an SMSC in a separate process, and against one that breaks every rule."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty, Queue

import pytest

from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.smpp import Smpp
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpResponse, SmppMessage
from phone_verify.model import Channel, Order, Outcome, Receipt, Status
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import overhear
from phone_verify.transports.smpp import submit
from tests.cases import in_one_test
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
PHONE = PhoneNumber("+989120000000")
SERVER = Path(__file__).with_name("smsc_server.py")
PACKAGES = "smpp.twisted3==0.8"


@dataclass
class Smsc:
    port: int
    lines: Queue[str]

    def messages(self, count: int) -> list[dict[str, str]]:
        """Return the next messages that it received."""
        found: list[dict[str, str]] = []
        while len(found) < count:
            line = self.lines.get(timeout=20)
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def empty(self) -> None:
        """Forget the messages received so far."""
        while True:
            try:
                self.lines.get_nowait()
            except Empty:
                return


@pytest.fixture(scope="module")
def packages() -> Path:
    """The packages of the SMSC, which need an older Twisted than other tests."""
    kept = ROOT / "build" / f"smsc-{PACKAGES.partition('==')[2]}-{sys.version_info.major}.{sys.version_info.minor}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=kept.parent, prefix="smsc-"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), PACKAGES]
        if subprocess.run(command, capture_output=True, timeout=150, check=False).returncode:
            missing("the package smpp.twisted3")
        try:
            folder.rename(kept)
        except OSError:
            assert kept.exists()
    return kept


@pytest.fixture(scope="module")
def smsc(packages: Path) -> Iterator[Smsc]:
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    command = [sys.executable, "-W", "ignore", str(SERVER)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=nowhere, text=True)
    assert process.stdout is not None
    lines: Queue[str] = Queue()
    port = int(process.stdout.readline())

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    yield Smsc(port, lines)
    process.kill()
    process.wait(10)
    reader.join(30)
    process.stdout.close()


def load(place: str, options: str = "tls=off&sender=Example", who: str = "SYSTEM:PASSWORD") -> Smpp:
    driver = load_driver(parse_dsn(f"smpp://{who}@{place}?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Smpp)
    return driver


def order(text: str = "Code: 482193") -> Order:
    return Order(PHONE, Channel.SMS, timedelta(minutes=2), "482193", text)


def message(port: int, text: str = "Code: 482193") -> SmppMessage:
    return SmppMessage("127.0.0.1", port, False, "SYSTEM", "PASSWORD", "", "Example", (5, 0), "989120000000", text, 120)


def start_with(dsns: str, *, is_async: bool) -> Outcome:
    settings = {"sms": dsns, "secret_keys": "a-key-for-tests-of-smpp-0123456789-01234", "region": "IR"}
    site = build_site(Settings.from_mapping(settings))
    if is_async:
        return asyncio.run(site.async_verifier.start(PHONE, purpose="login"))
    return site.verifier.start(PHONE, purpose="login")


@pytest.mark.slow
@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
def test_message_reaches_the_smsc(smsc: Smsc, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    smsc.empty()
    with caplog.at_level(logging.DEBUG):
        dsn = f"smpp://SYSTEM:PASSWORD@127.0.0.1:{smsc.port}?tls=off&sender=Example"
        outcome = start_with(dsn, is_async=is_async)
    record = outcome.verification
    assert record is not None
    assert (record.status, record.reference) == (Status.SENT, "m-1")
    [received] = smsc.messages(1)
    assert (received["source_addr"], received["destination_addr"]) == ("Example", "989120000000")
    assert received["source_addr_ton"].endswith("ALPHANUMERIC")
    assert "minutes=5" in received["validity_period"]
    # The client library logs whole messages in hexadecimal digits.
    assert b"PASSWORD".hex() not in caplog.text
    assert PHONE.e164[1:].encode().hex() not in caplog.text


@pytest.mark.slow
def test_long_text_of_another_script_goes_in_parts(smsc: Smsc) -> None:
    smsc.empty()
    response = submit(message(smsc.port, "کد شما 482193 است. " * 8), 10)
    assert response.json() == {"bind": 0, "submit": 0, "ids": ["m-1"] * 3}
    parts = smsc.messages(3)
    assert all("UCS2" in part["data_coding"] and "UDHI" in part["esm_class"] for part in parts)


@pytest.mark.slow
def test_wrong_password_refused_message_and_silence(smsc: Smsc) -> None:
    smsc.empty()
    for who, text, result in (
        ("SYSTEM:OTHER", "Code", FailureKind.CONFIGURATION),
        ("SYSTEM:PASSWORD", "status RINVDSTADR", FailureKind.BAD_NUMBER),
        ("SYSTEM:PASSWORD", "status RTHROTTLED", FailureKind.RATE),
        ("SYSTEM:PASSWORD", "status RMSGQFUL", FailureKind.TRANSIENT),
    ):
        driver = load(f"127.0.0.1:{smsc.port}", who=who)
        [request] = overhear(driver.start(order(text)), [HttpResponse(200, {}, b'{"bind": 1}')])[1]
        assert isinstance(request, SmppMessage)
        refused, _ = overhear(driver.start(order(text)), [submit(request, 10)])
        assert isinstance(refused, ProviderError)
        assert refused.trouble is result
    began = time.monotonic()
    with pytest.raises(UnclearError, match="no complete response"):
        submit(message(smsc.port, "silence"), 0.5)
    assert time.monotonic() - began < 30


#: The statuses of SMPP 3.4, 5.1.3, with the resulting kind.
STATUSES = """
    0x01 configuration
    0x02 configuration
    0x03 configuration
    0x04 configuration
    0x05 configuration
    0x08 transient
    0x0A configuration
    0x0B bad_number
    0x0D configuration
    0x0E configuration
    0x0F configuration
    0x14 transient
    0x43 configuration
    0x45 transient
    0x48 configuration
    0x49 configuration
    0x50 bad_number
    0x51 bad_number
    0x58 rate
    0x61 configuration
    0x62 configuration
    0xFE transient
    0x33 unknown
"""


@in_one_test
@pytest.mark.parametrize("line", STATUSES.strip().splitlines(), ids=str.strip)
@pytest.mark.parametrize("step", ["bind", "submit"])
def test_every_status_is_mapped(line: str, step: str) -> None:
    status, kind = line.split()
    answer = {"bind": 0, "submit": 0, "ids": []} | {step: int(status, 16)}
    result, _ = overhear(load("127.0.0.1").start(order()), [HttpResponse(200, {}, json.dumps(answer).encode())])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(kind)
    assert status.upper()[2:] in str(result)


def test_receipt_has_the_reference_and_the_parts() -> None:
    answer = b'{"bind": 0, "submit": 0, "ids": ["a", "b"]}'
    assert overhear(load("127.0.0.1").start(order()), [HttpResponse(200, {}, answer)])[0] == Receipt("a", parts=2)
    nothing = b'{"bind": 0, "submit": 0, "ids": []}'
    assert isinstance(overhear(load("127.0.0.1").start(order()), [HttpResponse(200, {}, nothing)])[0], UnclearError)


BIND_OK = bytes.fromhex("0000001180000002000000000000000200")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([b""], ProviderError),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], ProviderError),
        ([b"\xff\xff\xff\xff" + b"x" * 100], ProviderError),
        ([b"\x00\x00\x00\x10" + b"\x00" * 12], ProviderError),
        ([b"\x00\x00\x00\x00"], ProviderError),
        ([BIND_OK, b""], UnclearError),
        ([BIND_OK, b"\x00\x00\x00\x10" + b"\xff" * 12], UnclearError),
        ([BIND_OK, BIND_OK * 30], UnclearError),
        # An announced length of 64 MB, and a byte now and then.
        ([BIND_OK, b"\x04\x00\x00\x00"], UnclearError),
    ],
)
def test_smsc_that_breaks_the_rules(answers: list[bytes], kind: type[Exception]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(5)
                for answer in answers:
                    try:
                        connection.recv(4096)
                        connection.sendall(answer)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        with pytest.raises(kind) as raised:
            submit(message(server.getsockname()[1]), 2)
        thread.join(30)
    assert time.monotonic() - began < 15
    assert "482193" not in str(raised.value)


def test_unreachable_smsc_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ProviderError) as raised:
        submit(message(port), 2)
    assert raised.value.trouble is FailureKind.TRANSIENT


@pytest.mark.parametrize(
    ("sender", "sent", "kind"),
    [("%2B15005550001", "15005550001", (1, 1)), ("12345", "12345", (0, 1)), ("My Shop", "My Shop", (5, 0))],
)
def test_sender(sender: str, sent: str, kind: tuple[int, int]) -> None:
    driver = load("127.0.0.1", f"tls=off&sender={sender.replace(' ', '%20')}")
    [request] = overhear(driver.start(order()), [HttpResponse(200, {}, b'{"bind": 1}')])[1]
    assert isinstance(request, SmppMessage)
    assert (request.sender, request.sender_type, request.port, request.tls) == (sent, kind, 2775, False)
    assert "482193" not in repr(request)
    assert "PASSWORD" not in repr((request, driver))


@pytest.mark.parametrize(
    ("place", "options", "who", "says"),
    [
        ("smsc.example", "sender=Example&tls=off", "SYSTEM:PASSWORD", "loopback"),
        ("default", "sender=Example", "SYSTEM:PASSWORD", "write a host"),
        ("smsc.example/path", "sender=Example", "SYSTEM:PASSWORD", "without a path"),
        ("smsc.example", "sender=Example", "SYSTEM:LONGER-THAN-8", "up to 8"),
        ("smsc.example", "sender=%D1%8F", "SYSTEM:PASSWORD", "a short code or a name"),
        ("smsc.example", "name=x", "SYSTEM:PASSWORD", "'sender' is required"),
    ],
)
def test_unusable_settings_are_reported(place: str, options: str, who: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        load(place, options, who)
    assert "LONGER" not in str(raised.value)


def test_tls_is_the_default_and_its_absence_has_a_long_name() -> None:
    for options, port, tls in (
        ("sender=Example", 3550, True),
        ("sender=Example&unencrypted_the_network_sees_codes_and_password=on", 2775, False),
    ):
        driver = load("smsc.example", options)
        [request] = overhear(driver.start(order()), [HttpResponse(200, {}, b'{"bind": 1}')])[1]
        assert isinstance(request, SmppMessage)
        assert (request.host, request.port, request.tls) == ("smsc.example", port, tls)
        assert not driver.is_local
