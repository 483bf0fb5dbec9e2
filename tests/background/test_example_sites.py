"""The example sites with real workers of Celery and of a Django tasks backend: start, status and check over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import Browser, HttpCarrier
from tests.conftest import missing
from tests.scenarios import SETTINGS, Stage, refused
from tests.servers import FOLDERS, environment, gunicorn, on_path
from tests.stores.redis_servers import RedisServer
from tests.test_access_keys import Company

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: The Celery application for Flask; that for Django is the one in the docs.
FLASK = """
import os
from celery import Celery
from phone_verify.background.celery import add_tasks
from wsgi import application
app = Celery("shop", broker=os.environ["TEST_BROKER"])
add_tasks(app, lambda: application.extensions["phone_verify"].site)
"""
DOCS = Path(__file__).parents[2] / "docs" / "background.md"
#: What the site's processes load: the application, and the tasks.
WSGI = "import shop_celery\nfrom wsgi import application\n"
#: The settings of the Django site with a broker.
BROKER = """
import os
from settings import *
CELERY_BROKER_URL = os.environ["TEST_BROKER"]
"""
#: The settings of the Django site with a backend that keeps tasks in its database.
TASKS = """
import django
from settings import *
INSTALLED_APPS = [*INSTALLED_APPS, *(["django_tasks"] if django.VERSION < (6, 0) else []), "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
"""


@dataclass(frozen=True)
class Runner:
    """How a site sends in the background: its framework and mode, the command of its worker, and its application."""

    framework: str
    mode: str
    worker: tuple[str, ...]
    application: str = "wsgi:application"


_WORDS = ("-m", "celery", "--app", "shop_celery:app", "worker", "--pool", "threads", "--concurrency", "1")
RUNNERS = {
    "django-tasks": Runner("django", "django-tasks", ("-m", "django", "db_worker", "--interval", "0.2")),
    "celery-django": Runner("django", "celery", _WORDS, "shop_wsgi:application"),
    "celery-flask": Runner("flask", "celery", _WORDS, "shop_wsgi:application"),
}


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> Runner:
    return RUNNERS[request.param]


@pytest.fixture
def env(runner: Runner, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Mapping[str, str]]:
    """The environment of a site whose cap allows one order a day."""
    own = {
        "ledger": "orm:" if runner.framework == "django" else f"sqlite:///{tmp_path / 'services.sqlite3'}",
        "background": runner.mode,
        "caps": json.dumps({"day": {"count": 1}}),
    }
    env = environment(runner.framework, tmp_path, sandbox.dsn, {**SETTINGS, **own})
    env["PYTHONPATH"] = on_path(tmp_path)
    if runner.mode == "django-tasks":
        try:
            import django_tasks_db  # noqa: F401
        except ImportError:
            missing("django-tasks-db")
        (tmp_path / "tasked.py").write_text(TASKS)
        yield {**env, "DJANGO_SETTINGS_MODULE": "tasked"}
        return
    (tmp_path / "shop_celery.py").write_text(FLASK)
    (tmp_path / "shop_wsgi.py").write_text(WSGI)
    if runner.framework == "django":
        (text,) = re.findall(r"```python\n# shop/celery_app.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
        (tmp_path / "shop_celery.py").write_text(text)
        (tmp_path / "shop_settings.py").write_text(BROKER)
        env["DJANGO_SETTINGS_MODULE"] = "shop_settings"
    server = RedisServer(tmp_path / "redis").start()
    yield {**env, "TEST_BROKER": f"redis://127.0.0.1:{server.port}/0"}
    server.kill()


@contextmanager
def working(runner: Runner, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the worker while the block runs."""
    folder = FOLDERS[runner.framework]
    with log.open("wb") as output:
        command = [sys.executable, *runner.worker]
        process = subprocess.Popen(command, cwd=folder, env=dict(env), stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sys.stderr.write(log.read_text(errors="replace"))


def test_start_answers_at_once_and_the_worker_sends(
    runner: Runner, env: Mapping[str, str], sandbox: SandboxServer, tmp_path: Path
) -> None:
    with gunicorn(runner.framework, env, application=runner.application) as url:
        visitor, stage = Browser(HttpCarrier(url)), Stage(lambda: HttpCarrier(url), sandbox)
        assert visitor.call("GET", "v1/health").status == 200
        company = Company(runner.framework, url, env, stage)
        key, number = company.new_key(), stage.phone()
        begun = company.start(key, number, channel="sms")
        assert (begun.status, begun.json()["status"], stage.arrived(number)) == (201, "pending", 0)
        # The one order of the day is reserved, although nothing is sent yet.
        refused(company.start(key, channel="sms"), 402, "service_suspended")
        answer = visitor.call("POST", "v1/verifications", {"phone": stage.phone(), "channel": "sms"})
        refused(answer, 503, "unavailable")

        at = f"v1/verifications/{begun.json()['id']}"
        with working(runner, env, tmp_path / "worker.log") as process:
            while (status := company.call(key, "GET", at, secret=begun.json()["secret"]).json()["status"]) == "pending":
                assert process.poll() is None
                time.sleep(0.2)
        assert status == "sent"
        code = stage.code(number)
        checked = company.call(key, "POST", f"{at}/check", {"code": code}, begun.json()["secret"])
        assert checked.json()["status"] == "verified"
        assert stage.arrived(number) == 1
