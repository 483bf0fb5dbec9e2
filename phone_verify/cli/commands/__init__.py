"""The commands of `phone-verify`, one module each."""

from __future__ import annotations

from .config import config
from .demo import demo
from .doctor import doctor
from .drivers import drivers
from .init import init
from .sandbox import sandbox
from .schema import schema
from .send import send

COMMANDS = (config, demo, doctor, drivers, init, sandbox, schema, send)
