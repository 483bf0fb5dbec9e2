"""A local stand-in for the phone network: to phones what a local mail catcher is to mail.

It speaks the providers' own protocols over plain HTTP, shows on a page what arrives at which handset, and has an API
for tests (see `control`). It knows the providers' facts and nothing of the drivers that will talk to it.

    with SandboxServer() as server:
        ...  # point drivers at server.url, then GET {server.url}/api/handsets/+989120000000/code
"""

from phone_verify.sandbox.app import Sandbox
from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.network import Habit, Network
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
