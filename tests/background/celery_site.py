"""A Celery application with the tasks, for a site in the environment: `celery --app tests.background.celery_site`."""

from __future__ import annotations

import os
from functools import cache

from celery import Celery

from phone_verify.background.celery import add_tasks
from phone_verify.config.site import SiteConfig
from phone_verify.http.site import Site
from tests.background.dying import arm

app = Celery("tests", broker=os.environ.get("TEST_BROKER"), set_as_current=False)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1, task_default_queue="phones")


@cache
def site() -> Site:
    made = SiteConfig(environ=os.environ).site()
    if words := os.environ.get("TEST_DIES"):
        arm(made, *words.split())
    return made


add_tasks(app, site)
