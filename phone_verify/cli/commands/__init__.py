"""The commands of `phone-verify`, one module each."""

from __future__ import annotations

from .config import config
from .demo import demo
from .doctor import doctor
from .drivers import drivers
from .fraud import fraud
from .init import init
from .keys import keys
from .ledger import ledger
from .new_driver import new_driver
from .report import report
from .routes import routes
from .sandbox import sandbox
from .schema import schema
from .send import send
from .services import services
from .webhooks import webhooks
from .worker import worker

COMMANDS = (
    config, demo, doctor, drivers, fraud, init, keys, ledger, new_driver, report, routes, sandbox, schema, send,
    services, webhooks, worker,
)  # fmt: skip
