"""A local phone network simulator: for phones what a local mail catcher is for mail.

It implements the providers' own protocols over plain HTTP, shows each handset and its messages on a
page, and has an API for tests (see `api`). It is independent of the drivers under test.

    with SandboxServer() as server:
        ...  # point drivers at server.url, then GET {server.url}/api/handsets/+989120000000/code
"""

from phone_verify.sandbox.app import Sandbox
from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.phones import Habit
from phone_verify.sandbox.scenario import Scenario, ScenarioError, load, read_scenario
from phone_verify.sandbox.server import DEFAULT_PORT, SandboxServer, serve

__all__ = [
    "DEFAULT_PORT",
    "Fault",
    "Habit",
    "Network",
    "Sandbox",
    "SandboxServer",
    "Scenario",
    "ScenarioError",
    "load",
    "read_scenario",
    "serve",
]
