"""docs/production.md taken literally: the site of the guide behind nginx, its probe, its purge and its languages."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import urllib3

from phone_verify.testing.handsets import PhoneSandbox
from tests.conftest import missing
from tests.servers import _await, free_port
from tests.stores import servers
from tests.test_operation_docs import FILES, HEALTH, PRODUCTION, program

from . import projects
from .test_guide import STEPS, Reader

pytest.importorskip("django_otp")

pytestmark = pytest.mark.slow

COMMANDS = re.findall(r"^\| Django, \w+ \| `([^`]+)` \|", PRODUCTION, re.MULTILINE)
STARTS = "/phone/v1/verifications"
#: Folders that nginx creates, by default where only root can.
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def reader(tmp_path: Path, phone_sandbox: PhoneSandbox) -> Reader:
    """The guide's first two steps, and its production settings."""
    reader = Reader(tmp_path, phone_sandbox).follow(1, 2)
    for block in projects.blocks(STEPS[7]):
        if block.name is not None:
            projects.write(tmp_path, block.name, block.text)
    projects.write(tmp_path, "healthcheck.py", FILES["healthcheck.py"])
    reader.env |= {
        "DJANGO_SETTINGS_MODULE": "shop.production",
        "SECRET_KEY": "k-key-for-tests-0123456789abcdefghijklmnopqrstuvwxyz-0123456789",
    }
    return reader


@contextmanager
def running(reader: Reader, command: str, port: int) -> Iterator[int]:
    """Run a server of the table on another port."""
    words = shlex.split(command.replace("8000", str(port)))
    log = reader.folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            ["/usr/bin/env", *words], cwd=reader.folder, env=reader.env, stdout=file, stderr=subprocess.PIPE, text=True
        )
        try:
            _await(server, port)
            yield port
        finally:
            server.terminate()
            server.communicate(timeout=30)


@contextmanager
def nginx(folder: Path, application: int) -> Iterator[tuple[int, int]]:
    """Run nginx with the documented server; yield its ports for http and https."""
    nginx, http, https = program("nginx"), free_port(), free_port()
    for name in ("fullchain", "privkey"):
        (folder / f"{name}.pem").touch()
    subject = ["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    openssl = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(openssl, check=True, capture_output=True, timeout=60)
    server = FILES["/etc/nginx/conf.d/shop.conf"]
    for written, here in (
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{https} ssl;"),
        ("/etc/ssl/shop/", f"{folder}/"),
        ("/srv/shop/", f"{folder}/"),
        ("127.0.0.1:8000", f"127.0.0.1:{application}"),
    ):
        assert written in server
        server = server.replace(written, here)
    log = folder / "access.log"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log {log}; {temporary}\n{server}\n}}\n"
    )
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True, timeout=30)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _await(process, https)
        yield http, https
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_documented_proxy_and_server_serve_the_site(reader: Reader, command: str) -> None:
    reader.env["PHONE_VERIFY_SENDS_PER_HOUR_PER_ADDRESS"] = "2"
    with running(reader, command, free_port()) as port, nginx(reader.folder, port) as (http, https):
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1", https, ca_certs=str(reader.folder / "fullchain.pem"), server_hostname="shop.example"
        )
        pool.assert_hostname = "shop.example"
        host = {"Host": "shop.example"}
        plain = urllib3.request(
            "GET", f"http://127.0.0.1:{http}/phone/login/", headers=host, redirect=False, timeout=60
        )
        assert (plain.status, plain.headers["Location"]) == (301, "https://shop.example/phone/login/")
        assert pool.request("GET", HEALTH, headers=host).json() == {"status": "ok"}
        # A client that forges its address is counted by the one that nginx saw.
        statuses, begun = [], None
        for n in range(4):
            forged = {
                **host,
                "X-Forwarded-For": f"198.51.100.{n}",
                "Forwarded": f"for=198.51.100.{n}",
                "X-Forwarded-Proto": "http",
            }
            answer = pool.request("POST", STARTS, json={"phone": f"+98912000010{n}"}, headers=forged, redirect=False)
            statuses.append(answer.status)
            begun = begun or answer.json()
        assert statuses[0] == 201
        assert statuses[-1] == 429
        _follow(pool, begun, {**host, "Verification-Secret": begun["secret"]}, streams="asgi" in command)
        assert pool.request("GET", "/phone/webhooks/amoot/a-secret-of-nobody", headers=host).status == 404
        page = pool.request("GET", "/phone/login/", headers=host)
        assert page.status == 200
        assert "Secure" in page.headers["Set-Cookie"]
        done = subprocess.run(
            [sys.executable, "healthcheck.py", f"http://127.0.0.1:{port}"], cwd=reader.folder, timeout=30
        )
        assert done.returncode == 0
    access = (reader.folder / "access.log").read_text()
    assert "GET /phone/login/" in access
    assert "a-secret-of-nobody" not in access
    gone = subprocess.run([sys.executable, "healthcheck.py", f"http://127.0.0.1:{port}"], cwd=reader.folder, timeout=30)
    assert gone.returncode == 1


def _follow(pool: urllib3.HTTPSConnectionPool, begun: Any, headers: dict[str, str], *, streams: bool) -> None:
    """Read the first event through nginx, which buffers other responses."""
    address = f"/phone/v1/verifications/{begun['id']}/events"
    answer = pool.request("GET", address, headers=headers, preload_content=False, timeout=20)
    assert answer.status == (200 if streams else 406)
    if streams:
        assert answer.readline() == b"event: status\n"
        assert json.loads(answer.readline().removeprefix(b"data: "))["id"] == begun["id"]
        assert "X-Accel-Buffering" not in answer.headers  # nginx has read it
    answer.close()


def test_documented_cron_line_purges(reader: Reader) -> None:
    minute, hour, *rest = FILES["/etc/cron.d/shop"].split(maxsplit=6)
    assert (int(minute), int(hour), rest[:3], rest[3]) == (15, 4, ["*", "*", "*"], "shop")
    (reader.folder / "shop.env").write_text(
        "".join(f"{name}='{reader.env[name]}'\n" for name in ("SECRET_KEY", "DJANGO_SETTINGS_MODULE"))
    )
    line = rest[4].replace("/srv/shop", str(reader.folder)).replace(".venv/bin/python", sys.executable)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PHONE_VERIFY_", "DJANGO_"))}
    done = subprocess.run(["sh", "-c", line], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_documented_celery_task_purges(reader: Reader) -> None:
    if find_spec("celery") is None:
        missing("Celery")
    for name, text in projects.files(projects.section("production.md", "Purge once a day")):
        projects.write(reader.folder, name, text)
    code = (
        "import django; django.setup(); from celery import Celery; from django.conf import settings\n"
        "app = Celery('shop'); app.config_from_object('django.conf:settings', namespace='CELERY')\n"
        "from shop.tasks import purge_verifications\n"
        "[entry] = app.conf.beat_schedule.values()\n"
        "assert entry['task'] == purge_verifications.name and entry['schedule'] == 86400\n"
        "app.tasks[entry['task']].apply().get()\n"
    )
    reader.run(sys.executable, "-c", code)


def test_documented_languages_have_one_api(reader: Reader) -> None:
    for name, text in projects.files(projects.section("production.md", "Addresses for each language")):
        projects.write(reader.folder, name, text)
    reader.env["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    with reader.serving() as url:
        assert urllib3.request("GET", f"{url}{HEALTH}", timeout=60).json() == {"status": "ok"}
        for language in ("en", "fa"):
            page = urllib3.request("GET", f"{url}/{language}/phone/login/", timeout=60)
            assert f'lang="{language}"' in page.data.decode()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_documented_database_is_used(reader: Reader, kind: str) -> None:
    """With its time limits, so that `check --deploy` has no finding."""
    [(name, text)] = projects.files(projects.section("production.md", "Database"))
    projects.write(reader.folder, name, text)
    reader.env["PHONE_VERIFY_SMS"] = "amoot://TOKEN@default"
    with nullcontext("") if kind == "sqlite" else servers.database(kind) as url:
        if url:
            reader.env["DATABASE_URL"] = url
        reader.run("python", "manage.py", "migrate")
        assert "no issues" in reader.run("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING")
        code = "import django; django.setup(); from django.db import connection; print(connection.vendor)"
        assert kind in reader.run(sys.executable, "-c", code)
