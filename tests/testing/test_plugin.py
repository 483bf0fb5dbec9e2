"""The plugin in a separate pytest, as a site's developer uses it; and that it is inactive until named."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.conftest import BARE

CONFTEST = 'pytest_plugins = ["phone_verify.testing.plugin"]\n'

CORE = """
from phone_verify import PhoneNumber, Settings, build_site

PHONE = PhoneNumber("+989120000000")

def verifier(**channels):
    keys = {"secret_keys": "k-key-for-tests-0123456789abcdef"}
    return build_site(Settings.from_mapping({"store": "memory:", **keys, **channels})).verifier

def test_outbox(phone_outbox):
    site = verifier(sms="console://")
    begun = site.start(PHONE)
    assert len(phone_outbox) == 1
    assert site.check(begun.verification.id, begun.secret, phone_outbox.last_code(PHONE)).ok

def test_outbox_is_empty_again(phone_outbox):
    assert len(phone_outbox) == 0

ports = set()

def test_sandbox(phone_sandbox):
    ports.add(phone_sandbox.url)
    phone_sandbox.fault("amoot", lose=True)
    site = verifier(flash_call=phone_sandbox.dsn)
    begun = site.start(PHONE)
    assert site.check(begun.verification.id, begun.secret, phone_sandbox.handset("+98 912 000 0000").code()).ok

def test_sandbox_is_another_one(phone_sandbox):
    ports.add(phone_sandbox.url)
    assert phone_sandbox.faults.all() == phone_sandbox.requests == ()
    assert len(ports) == 2 or ports == {phone_sandbox.url}

def test_both(phone_sandbox, phone_outbox):
    site = verifier(sms="console://", flash_call=phone_sandbox.dsn)
    site.start(PHONE)
    site.start(PHONE, channel="flash_call")
    assert len(phone_outbox) == len(phone_sandbox.handset(PHONE).calls) == 1
"""


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    # The settings of this very run are not those of a site's owner.
    return pytester.runpytest_subprocess(*BARE, *words)


@pytest.mark.slow
def test_plugin_works_with_the_core(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(CORE)
    run(pytester, "-W", "error").assert_outcomes(passed=5)


def test_plugin_may_be_named_on_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(phone_outbox): assert len(phone_outbox) == 0")
    run(pytester, "-p", "phone_verify.testing.plugin").assert_outcomes(passed=1)


def test_plugin_is_absent_unless_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_nothing_of_ours_is_loaded():
            assert [name for name in sys.modules if name.startswith("phone_verify")] == []

        def test_no_fixture(phone_outbox):
            pass
    """)
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'phone_outbox' not found*"])


def test_plugin_loads_no_server_and_no_framework() -> None:
    program = (
        "import sys, phone_verify.testing.plugin\n"
        "heavy = {'werkzeug', 'django', 'flask', 'urllib3', 'sqlalchemy', 'yaml', 'phonenumbers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["[]"]


def test_missing_extra_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST + "import sys; sys.modules['werkzeug'] = None\n")
    pytester.makepyfile("def test_it(phone_sandbox): pass\ndef test_other(phone_outbox): pass")
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pip install 'phone-verify?sandbox?'*"])


def test_no_entry_point_loads_the_plugin() -> None:
    modules = {point.value for point in entry_points(group="pytest11")}
    assert not any(module.startswith("phone_verify") for module in modules)
    assert "pytest11" not in (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
