"""A driver in a separate package, as the command writes it: its tests pass, and a site finds it by its scheme."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from phone_verify.config.drivers import load_drivers
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.amoot import Amoot
from phone_verify.errors import ConfigurationError
from phone_verify.model import Channel

ROOT = Path(__file__).parents[1]


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def new_driver(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "phone_verify", "new-driver", name)


class Gateway(BaseHTTPRequestHandler):
    """The provider."""

    orders: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        Gateway.orders.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b'{"id": "m-1"}')

    def log_message(self, *_: object) -> None:
        """Print nothing."""


USE = """
from phone_verify import PhoneNumber, Settings, build_site
given = {"sms": [DSN], "store": "memory:", "secret_keys": "a-key-for-tests-of-drivers-0123456789-0123", "region": "IR"}
site = build_site(Settings.from_mapping(given))
outcome = site.verifier.start(PhoneNumber("+989120000000"), purpose="login")
print(outcome.reason, outcome.verification.driver, outcome.verification.status)
"""


@pytest.mark.slow
def test_package_is_installed_and_used(tmp_path: Path) -> None:
    assert "Wrote phone-verify-acme-sms" in new_driver(tmp_path, "acme-sms").stdout
    package, installed = tmp_path / "phone-verify-acme-sms", tmp_path / "installed"
    wheel = run(
        package, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target",
        str(installed), ".",
    )  # fmt: skip
    assert wheel.returncode == 0, wheel.stderr
    path = os.pathsep.join((str(installed), str(ROOT)))
    tests = run(package, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", PYTHONPATH=path)
    assert (tests.returncode, " passed" in tests.stdout) == (0, True), tests.stdout
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        dsn = f"acme-sms://FAKE@127.0.0.1:{server.server_port}?tls=off&sender=Shop"
        used = run(tmp_path, "-c", USE.replace("DSN", repr(dsn)), PYTHONPATH=path)
    finally:
        server.shutdown()
        server.server_close()
    assert used.stdout == "None acme-sms sent\n", used.stderr
    [order] = Gateway.orders
    assert (order["to"], order["from"]) == ("+989120000000", "Shop")
    shown = run(tmp_path, "-m", "phone_verify", "drivers", "acme-sms", PYTHONPATH=path).stdout
    assert "PHONE_VERIFY_SMS=acme-sms://TOKEN@default" in shown
    assert "\nacme-sms " in run(tmp_path, "-m", "phone_verify", "drivers", PYTHONPATH=path).stdout
    # Without the package, the error says what is known.
    unknown = run(tmp_path, "-c", USE.replace("DSN", repr(dsn)))
    assert "unknown driver 'acme-sms'" in unknown.stderr


@pytest.mark.slow
def test_broken_package_does_not_hide_the_other_drivers(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phone_verify.drivers]\nbroken = no_such_module:Driver\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    listed = run(tmp_path, "-m", "phone_verify", "drivers", PYTHONPATH=path)
    assert (listed.returncode, "amoot://TOKEN@default" in listed.stdout) == (0, True)
    assert "the driver 'broken' of another package cannot be imported (ModuleNotFoundError)" in listed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amoot", "sandbox", "Acme", "acme_sms", "-acme", "a" * 33, "../x"])
def test_name_that_cannot_be_a_scheme_is_refused(name: str, tmp_path: Path) -> None:
    done = (
        new_driver(tmp_path, name)
        if not name.startswith("-")
        else run(tmp_path, "-m", "phone_verify", "new-driver", "--", name)
    )
    assert done.returncode == 1, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "phone-verify-acme").mkdir()
    assert "exists already" in new_driver(tmp_path, "acme").stderr


class OwnDriver(Amoot):
    """A driver of the site."""

    scheme = "our-sms"


class SecondAmoot(Amoot):
    """A driver whose scheme is that of the library's."""


def test_setting_names_drivers_of_the_site() -> None:
    settings = Settings.from_mapping(
        {
            "sms": "our-sms://FAKE@default",
            "drivers": [f"{__name__}.OwnDriver"],
            "secret_keys": "a-key-for-tests-of-drivers-0123456789-0123",
            "region": "IR",
        }
    )
    [driver] = build_site(settings).verifier.flows.router.carriers(Channel.SMS)
    assert type(driver) is OwnDriver
    assert driver.name == "our-sms"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere.Driver", "path 1: Cannot import 'nowhere.Driver'"),
        ("not a path", "path 1: Not the dotted path of a driver"),
        (f"{__name__}.Gateway", "path 1 must name a subclass of"),
        (f"{__name__}.SecondAmoot", "the scheme 'amoot' exists already"),
    ],
)
def test_faulty_path_is_reported(path: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_DRIVERS: {says}"):
        load_drivers({"sms": ["our-sms://FAKE@default"]}, [path])
