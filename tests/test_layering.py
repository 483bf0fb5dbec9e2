"""Imports go one way. Read from the imports themselves, also those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What each room of the core may import of the core, besides itself.
MAY_SEE: dict[str, set[str]] = {
    "root": {"*"},  # lazily, see the test of its cost
    "errors": set(),
    "segments": set(),
    "phone": {"errors"},
    "exchange": {"errors"},
    "model": {"errors", "phone", "exchange", "purposes"},
    "policy": {"errors", "phone", "exchange", "model"},
    "codes": {"errors", "phone", "exchange", "model"},
    "lifecycle": {"errors", "phone", "exchange", "model", "policy", "purposes"},
    "signing": set(),
    "proof": {"errors", "phone", "exchange", "model", "codes", "lifecycle", "signing"},
    "known_browser": {"errors", "phone", "exchange", "model", "codes", "lifecycle", "proof", "signing"},
    "drivers.base": {"errors", "phone", "exchange", "model", "policy"},
    "drivers.dsn": {"errors", "drivers.base", "drivers.*"},
    "stores.base": {"errors", "phone", "exchange", "model", "policy", "lifecycle"},
    "transport": {"errors", "exchange", "model"},
    "async_transport": {"errors", "exchange", "model", "transport"},
    "drivers.*": {"errors", "phone", "exchange", "model", "policy", "drivers.base"},
    "stores.rows": {
        "errors", "phone", "exchange", "model", "policy", "purposes", "codes", "lifecycle", "stores.base",
    },
    "stores.*": {"errors", "phone", "exchange", "model", "policy", "codes", "lifecycle", "stores.base", "stores.rows"},
    "routing": {"errors", "phone", "model", "policy", "drivers.base"},
    "fixed_codes": {"errors", "phone", "exchange", "model", "policy", "drivers.base"},
    "events": {"errors", "phone", "model", "codes"},
    "telemetry": {"events"},
    "signals": {"events", "model"},
    "purposes": {"errors"},
    "right_answers": set(),
    "staff": {"model"},
    "delivery": {
        "events", "right_answers", "fixed_codes", "errors", "phone", "exchange", "model", "policy", "codes",
        "lifecycle", "routing", "transport", "drivers.base", "stores.base",
    },
    "verifier": {
        "delivery", "events", "fixed_codes", "known_browser", "purposes", "right_answers",
        "errors", "phone", "exchange", "model", "policy", "codes", "lifecycle", "proof", "routing", "transport",
        "drivers.base", "stores.base",
    },
    "typed_codes": {"errors", "phone", "model", "verifier"},
    "foreign_codes": {
        "drivers.base", "errors", "events", "exchange", "model", "phone", "policy", "right_answers", "routing",
        "typed_codes", "verifier",
    },
    "threads": {"model", "lifecycle", "stores.base", "verifier"},
    "web": {"errors", "phone", "model"},
    "api": {"errors", "phone", "model", "purposes", "known_browser", "proof", "verifier", "web"},
    "sandbox": {"phone"},
    "config": {"*"},
    "testing": {"*"},
    "catalogue": {"model", "config", "drivers.base", "drivers.dsn"},
    "doctor": {
        "errors", "phone", "exchange", "model", "policy", "codes", "routing", "transport", "delivery", "verifier",
        "fixed_codes", "drivers.base", "drivers.dsn", "stores.base", "stores.*", "config", "segments", "web",
    },
    "by_hand": {"errors", "phone", "model", "routing", "verifier", "drivers.base"},
    "keyboard": set(),
    "demo": {"sandbox"},
    "commands": {"*"},
    "cli": {"*"},
}  # fmt: skip
ADAPTERS_SEE = {
    "config", "verifier", "api", "proof", "web", "errors", "model", "events", "signals", "staff", "typed_codes",
    "foreign_codes",
}  # fmt: skip
#: Its commands and checks say what is wrong, and try things out by hand.
COMMANDS_SEE = ADAPTERS_SEE | {"doctor", "by_hand", "keyboard", "routing", "transport", "commands"}
#: The Django adapter is also a store, by the contract of stores.
STORE_SEES = {"errors", "phone", "model", "policy", "codes", "lifecycle", "stores.base", "stores.rows"}
FRAMEWORKS = {"django", "flask", "flask_login", "flask_wtf"}


def room(module: str) -> str:
    """The room of a module of the core: `drivers.base`, `drivers.*`, `api`."""
    parts = module.split(".")[1:]
    if not parts:
        return "root"
    if parts[0] in ("drivers", "stores"):
        name = ".".join(parts[:2])
        return name if name in MAY_SEE else f"{parts[0]}.*"
    return parts[0]


def _same_driver_or_store(module: str, name: str) -> bool:
    return module.split(".")[:3] == name.split(".")[:3]


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(module: str, path: Path) -> set[str]:
    """The full names of all modules imported, relative ones resolved."""
    found = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                name = f"{source}.{alias.name}"
                is_module = (ROOT / Path(*name.split("."))).with_suffix(".py").exists()
                is_package = (ROOT / Path(*name.split("."))).is_dir()
                found.add(name if is_module or is_package else source)
    return found


CORE = list(modules("phone_verify"))


@pytest.mark.parametrize(("module", "path"), CORE, ids=[module for module, _ in CORE])
def test_the_core_imports_one_way(module: str, path: Path) -> None:
    here = room(module)
    allowed = MAY_SEE[here]
    for name in imports(module, path):
        top = name.split(".")[0]
        if (
            here != "commands"
        ):  # they look at sites from outside, each by its own adapter, imported when it is asked for
            assert top not in FRAMEWORKS | {"phone_verify_django", "phone_verify_flask"}, f"{module} imports {name}"
        if top == "phone_verify" and "*" not in allowed:
            there = room(name)
            own = there == here and (here not in ("drivers.*", "stores.*") or _same_driver_or_store(module, name))
            assert own or there in allowed or name == module, f"{module} ({here}) may not import {name} ({there})"


@pytest.mark.parametrize("adapter", ["phone_verify_django", "phone_verify_flask"])
def test_adapters_see_the_core_and_not_each_other(adapter: str) -> None:
    other = {"phone_verify_django": "phone_verify_flask", "phone_verify_flask": "phone_verify_django"}[adapter]
    foreign = {"phone_verify_django": {"flask"}, "phone_verify_flask": {"django"}}[adapter]
    found = list(modules(adapter))
    assert found
    for module, path in found:
        allowed = STORE_SEES if module.startswith((f"{adapter}.store", f"{adapter}.models")) else ADAPTERS_SEE
        if module == "phone_verify_flask.store":
            allowed = {"errors", "stores.base", "stores.*"}  # it opens ours in the site's own database
        if module.startswith((f"{adapter}.management", f"{adapter}.checks", f"{adapter}.cli")):
            allowed = COMMANDS_SEE
        for name in imports(module, path):
            top = name.split(".")[0]
            assert top not in foreign | {other}, f"{module} imports {name}"
            if top == "phone_verify" and name != "phone_verify":
                assert room(name) in allowed, f"{module} may not import {name}"


def test_the_rule_would_catch_a_wrong_import(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def f():\n    from ..verifier import Verifier\n")
    assert imports("phone_verify.drivers.wrong", module) == {"phone_verify.verifier"}
    assert room("phone_verify.verifier") not in MAY_SEE["drivers.*"]


def test_importing_is_light_and_does_nothing() -> None:
    """`import phone_verify` loads no HTTP client, no SQLAlchemy, no framework; nor does the verifier's module."""
    program = (
        "import sys, threading, phone_verify, phone_verify.verifier\n"
        "heavy = {'urllib3', 'sqlalchemy', 'django', 'flask', 'werkzeug', 'phonenumbers', 'yaml', 'segno',"
        " 'redis', 'aiohttp', 'psycopg', 'pymysql', 'alembic', 'click', 'opentelemetry'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]
