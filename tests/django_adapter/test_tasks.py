"""Orders that a task of Django's tasks framework sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from django.utils.module_loading import import_string

from phone_verify.errors import ConfigurationError
from phone_verify.model import Started, Status
from phone_verify.phone import PhoneNumber
from phone_verify.sync import run
from phone_verify_django import tasks
from phone_verify_django.site import current_site
from tests.conftest import missing

PHONE = PhoneNumber("+989120000071")

pytestmark = pytest.mark.django_db


@pytest.fixture
def backend(configure: Any) -> Iterator[Any]:
    """The backend of the tasks framework that keeps tasks without running them."""
    try:
        backends = import_string(f"{tasks.FRAMEWORK}.task_backends")
    except ImportError:
        missing(tasks.FRAMEWORK)
    dummy = {"default": {"BACKEND": f"{tasks.FRAMEWORK}.backends.dummy.DummyBackend"}}
    with override_settings(TASKS=dummy):
        configure(sms="console://", ledger="orm:", background="django-tasks")
        backends["default"].clear()
        yield backends["default"]
        backends["default"].clear()


def test_start_enqueues_ids_and_the_task_sends(backend: Any) -> None:
    site = current_site()
    started = site.verifier.start(PHONE)
    assert isinstance(started, Started)
    (kept,) = backend.results
    assert json.loads(json.dumps(kept.args)) == [started.verification.id, 1]
    assert started.verification.state is Status.PENDING
    kept.task.call(*kept.args)
    found = site.verifier.get(started.verification.id, started.secret).verification
    assert found is not None
    assert found.state is Status.SENT
    kept.task.call(*kept.args)  # a task that runs again sends nothing
    assert site.background.sends is not None
    assert run(site.background.sends.waiting()) == 0


def test_lost_task_is_made_up_by_the_jobs(backend: Any) -> None:
    started = current_site().verifier.start(PHONE)
    assert isinstance(started, Started)
    backend.clear()
    assert import_string("phone_verify_django.task_functions.run_jobs").call()["send"] == 1


def test_missing_framework_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "FRAMEWORK", "no_such_tasks")
    with pytest.raises(ConfigurationError, match="no tasks framework"):
        tasks.waker()
