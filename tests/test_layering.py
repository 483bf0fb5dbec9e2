"""Imports go one way, without cycles: read from all import statements, including those in functions and for types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import phone_verify
from tests.cases import in_one_test

ROOT = Path(__file__).parents[1]

#: What each part of the core may import of the core, besides itself.
RULES = {"errors", "phone", "exchange", "purposes", "model", "policy", "before_send"}
MAY_IMPORT: dict[str, set[str]] = {
    "root": {"*"},  # lazily, see the test of its cost
    # Values and rules.
    "errors": set(),
    "documents": set(),
    "exchange": {"errors"},
    "segments": set(),
    "spray_guard": set(),
    "sync": set(),
    "phone": {"errors"},
    "adoption": {"errors", "phone"},
    "purposes": {"errors"},
    "before_send": {"errors", "model", "phone", "sync"},
    "model": {"phone", "purposes", "exchange", "errors"},
    "policy": {"errors", "phone", "exchange", "model", "purposes"},
    "codes": {"errors", "phone", "exchange", "model", "purposes"},
    "limits": {"model", "policy", "purposes"},
    "lines": {"model", "phone"},
    "conversions": {"model"},
    "lifecycle": RULES | {"limits", "lines", "planning"},
    "planning": RULES | {"codes", "drivers.base", "test_numbers"},
    "test_numbers": RULES | {"drivers.base"},
    # Roles and their implementations.
    "drivers.reading": RULES,
    "drivers.options": RULES,
    "drivers.base": RULES | {"drivers.options", "drivers.reading"},
    "drivers.dsn": {"errors", "drivers", "drivers.base", "drivers.options"},
    "drivers.kinds": RULES | {"documents", "drivers.base", "drivers.options", "drivers.reading"},
    "drivers.*": RULES | {"drivers.base", "drivers.kinds", "drivers.options", "drivers.reading", "segments"},
    "drivers": set(),
    "stores": set(),
    "stores.base": RULES | {"conversions", "lifecycle", "limits"},
    "stores.rows": RULES | {"codes", "conversions", "lifecycle", "limits", "lines", "stores.base"},
    "stores.leases": RULES | {"codes", "lines", "stores.base"},
    "stores.references": RULES | {"codes", "lines", "stores.base"},
    "stores.*": RULES | {"codes", "conversions", "lifecycle", "limits", "lines", "stores.base", "stores.rows", "sync"},
    "transports": {"errors", "exchange", "model", "sync"},
    "tokens": RULES | {"codes", "lifecycle"},
    "events": {"errors", "phone", "exchange", "model", "codes", "ledger", "lines"},
    # The order of I/O.
    "routing": RULES | {"conversions", "drivers.base", "lines", "stores.base"},
    "parts": RULES
    | {"codes", "drivers.base", "events", "fraud", "keys", "ledger", "routing", "spray_guard", "stores.base",
       "sync", "test_numbers", "transports", "work"},
    "delivery": RULES | {"drivers.base", "events", "ledger", "lifecycle", "limits", "parts", "planning", "routing",
       "stores.leases", "stores.references", "transports", "work"},
    "inbound": RULES | {"delivery", "drivers.base", "drivers.reading", "events", "lines", "parts"},
    "verifier": RULES
    | {"codes", "delivery", "drivers.base", "events", "fraud", "inbound", "keys", "ledger", "lifecycle", "limits",
       "lines", "parts", "planning", "routing", "stores.base", "sync", "test_numbers", "tokens", "work"},
    # Used by adapters and programs.
    "external": RULES | {"drivers.base", "events", "parts", "routing", "spray_guard", "sync", "verifier"},
    "oauth": RULES | {"verifier"},
    "i18n": {"errors", "phone", "model", "segments", "before_send"},
    "http": RULES | {"i18n", "keys", "services", "tokens", "verifier", "webhooks_out", "work"},
    "api": RULES | {"codes", "events", "http", "i18n", "keys", "lines", "sync", "verifier"},
    "web": RULES | {"api", "http", "i18n", "limits", "lines"},
    # What a verification service has besides: services, access keys, the ledger, reports.
    "webhooks_out": RULES | {"codes", "stores.rows", "sync", "transports"},
    "ledger": RULES | {"codes", "lines", "segments", "stores.rows", "sync", "tokens", "webhooks_out"},
    "keys": RULES | {"codes", "stores.rows", "stores.*", "sync"},
    "services": RULES | {"i18n", "ledger", "stores.*", "sync", "webhooks_out"},
    "fraud": RULES | {"codes", "conversions", "limits", "stores.base"},
    "database": RULES
    | {"codes", "keys", "ledger", "reports", "services", "stores.rows", "stores.sql", "stores.*", "sync",
       "webhooks_out", "work"},
    "work": RULES | {"ledger", "stores.rows", "sync"},
    "staff": RULES
    | {"api", "drivers.reading", "http", "i18n", "keys", "ledger", "parts", "reports", "services", "sync", "transports",
       "verifier", "webhooks_out"},
    "reports": RULES | {"http", "i18n", "ledger", "stores.rows", "sync"},
    "background": {"*"},
    "sandbox": {"documents", "phone"},
    "config": {"*"},
    "testing": {"*"},
    "doctor": RULES
    | {"codes", "config", "delivery", "drivers.base", "drivers.dsn", "drivers.options", "drivers.reading", "i18n",
       "parts", "planning", "routing", "segments", "services", "stores.base", "stores.*", "sync", "test_numbers",
       "transports"},
    "cli": {"*"},
    "__main__": {"cli"},
}  # fmt: skip
ADAPTERS_IMPORT = {
    "adoption", "api", "background", "before_send", "config", "errors", "events", "external", "http", "i18n", "keys",
    "model", "oauth", "reports", "services", "staff", "sync", "verifier", "web", "work",
}  # fmt: skip
#: Commands and checks report errors, and run tests.
COMMANDS_IMPORT = ADAPTERS_IMPORT | {"cli", "doctor", "routing", "transports"}
#: The Django adapter is also a store, by the contract of stores.
STORE_IMPORTS = {
    "errors",
    "phone",
    "model",
    "policy",
    "codes",
    "conversions",
    "lifecycle",
    "limits",
    "stores.base",
    "stores.rows",
}
FRAMEWORKS = {"django", "flask", "flask_login", "flask_wtf"}
ADAPTERS = {"phone_verify_django", "phone_verify_flask"}


def part(module: str) -> str:
    """Return the part of the core that a module belongs to: `drivers.base`, `drivers.*`, `api`."""
    parts = module.split(".")[1:]
    if not parts:
        return "root"
    if parts[0] in ("drivers", "stores"):
        name = ".".join(parts[:2])
        return name if name in MAY_IMPORT or len(parts) == 1 else f"{parts[0]}.*"
    return parts[0]


def _same_driver_or_store(module: str, name: str) -> bool:
    return module.split(".")[:3] == name.split(".")[:3]


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


@cache
def imports(module: str, path: Path) -> frozenset[str]:
    """Return the full names of all imported modules, relative ones resolved."""
    return frozenset(name for _, name in places_of_imports(module, path))


@cache
def places_of_imports(module: str, path: Path) -> Sequence[tuple[str, str]]:
    """Return the same with the names of the innermost functions that import them, empty at the top."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return [
        (function, name)
        for function, node in _statements(ast.parse(path.read_text("utf-8")), "")
        for name in _imported(package, node)
    ]


def _statements(block: ast.AST, function: str) -> Iterator[tuple[str, ast.stmt]]:
    # Not `ast.walk`, which visits a hundred expressions for each statement.
    for parts in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(block, parts, ()):
            if isinstance(node, ast.stmt):
                yield function, node
            inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
            yield from _statements(node, inner)


def _imported(package: str, node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package.rsplit(".", node.level - 1)[0] if node.level else ""
        source = ".".join(filter(None, (base, node.module)))
        for alias in node.names:
            name = f"{source}.{alias.name}"
            yield name if _is_module(name) else source


@cache
def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


CORE = list(modules("phone_verify"))


@in_one_test
@pytest.mark.parametrize(("module", "path"), CORE, ids=[module for module, _ in CORE])
def test_core_imports_one_way(module: str, path: Path) -> None:
    here = part(module)
    allowed = MAY_IMPORT[here]
    for name in imports(module, path):
        top = name.split(".")[0]
        assert top not in FRAMEWORKS | ADAPTERS, f"{module} imports {name}"
        if top == "phone_verify" and "*" not in allowed:
            there = part(name)
            own = there == here and (here not in ("drivers.*", "stores.*") or _same_driver_or_store(module, name))
            assert own or there in allowed or name == module, f"{module} ({here}) may not import {name} ({there})"


@pytest.mark.parametrize("adapter", ["phone_verify_django", "phone_verify_flask"])
def test_adapters_see_the_core_and_not_each_other(adapter: str) -> None:
    other = {"phone_verify_django": "phone_verify_flask", "phone_verify_flask": "phone_verify_django"}[adapter]
    foreign = {"phone_verify_django": {"flask"}, "phone_verify_flask": {"django"}}[adapter]
    found = list(modules(adapter))
    assert found
    for module, path in found:
        allowed = STORE_IMPORTS if module.startswith((f"{adapter}.store", f"{adapter}.models")) else ADAPTERS_IMPORT
        if module == "phone_verify_flask.store":
            allowed = {"errors", "stores.base", "stores.*"}  # it opens our tables in the site's database
        if module.startswith(f"{adapter}.services"):
            allowed = ADAPTERS_IMPORT | STORE_IMPORTS | {"background", "ledger", "reports", "webhooks_out", "work"}
        if module.startswith((f"{adapter}.management", f"{adapter}.checks", f"{adapter}.cli")):
            allowed = COMMANDS_IMPORT
        for name in imports(module, path):
            top = name.split(".")[0]
            assert top not in foreign | {other}, f"{module} imports {name}"
            if top == "phone_verify" and name != "phone_verify":
                assert part(name) in allowed, f"{module} may not import {name}"


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node] & graph.keys():
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            start = stack.index(node)
            if len(component := stack[start:]) > 1:
                found.append(set(component))
            del stack[start:]

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_no_modules_import_each_other() -> None:
    paths = [entry for package in ("phone_verify", *sorted(ADAPTERS)) for entry in modules(package)]
    assert circles({module: imports(module, path) - {module} for module, path in paths}) == []


def test_import_cycles_are_detected() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]


#: Imported inside functions: optional extras, and modules that are slow to load and rarely needed.
OPTIONAL = {
    "aiohttp", "alembic", "allauth", "asgiref", "asyncio", "celery", "click", "cryptography", "django_otp",
    "flask_babel", "jinja2", "jsonschema", "jwt", "opentelemetry", "phonenumbers", "prometheus_client", "pygal", "rich",
    "segno", "smpplib", "sqlalchemy", "standardwebhooks", "urllib3", "werkzeug", "wsgi", "xlsxwriter", "yaml", "yarl",
}  # fmt: skip
#: Django loads models after the module of an app's configuration.
AFTER_DJANGO_STARTS = {
    "phone_verify_django.allauth.apps", "phone_verify_django.apps", "phone_verify_django.checks",
    "phone_verify_django.cli", "phone_verify_django.oauth_toolkit.apps", "phone_verify_django.otp.apps",
    "phone_verify_django.services.opening",
}  # fmt: skip
#: Modules that import an optional package at the top, or parts that only some sites load.
NEED_EXTRAS = {
    "phone_verify.background.celery", "phone_verify.cli.commands", "phone_verify.cli.demo", "phone_verify.config.keys",
    "phone_verify.config.reports", "phone_verify.config.service_fields", "phone_verify.config.service_site",
    "phone_verify.config.webhooks_out", "phone_verify.database.aggregates", "phone_verify.database.connection",
    "phone_verify.database.engine", "phone_verify.database.keys", "phone_verify.database.ledger",
    "phone_verify.database.outbox", "phone_verify.database.schema", "phone_verify.database.services",
    "phone_verify.database.work", "phone_verify.fraud.guard", "phone_verify.ledger.amounts",
    "phone_verify.ledger.providers", "phone_verify.ledger.reading", "phone_verify.ledger.service",
    "phone_verify.ledger.sweeping", "phone_verify.ledger.threaded", "phone_verify.sandbox",
    "phone_verify.services.service", "phone_verify.stores.redis", "phone_verify.stores.sql",
    "phone_verify.stores.sql.postgresql", "phone_verify.stores.sql.schema", "phone_verify.testing.handsets",
    "phone_verify.testing.outbox", "phone_verify.transports.aio", "phone_verify.webhooks_out.endpoints",
    "phone_verify.work.fair", "phone_verify.work.threaded", "phone_verify.work.waking", "phone_verify_flask.cli",
    "phone_verify_django.staff_pages",
}  # fmt: skip


def test_imports_are_at_the_top() -> None:
    for package in ("phone_verify", *sorted(ADAPTERS)):
        for module, path in modules(package):
            if module in AFTER_DJANGO_STARTS:
                continue
            for function, name in places_of_imports(module, path):
                allowed = not function or name.split(".")[0] in OPTIONAL or name in NEED_EXTRAS
                assert allowed, f"{module}.{function} imports {name}"


def test_root_of_the_core_has_few_modules() -> None:
    assert len([path for path in (ROOT / "phone_verify").glob("*.py") if not path.stem.startswith("__")]) <= 19


def test_modules_have_at_most_500_lines() -> None:
    paths = [entry for package in ("phone_verify", *sorted(ADAPTERS)) for entry in modules(package)]
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in paths}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_wrong_import_is_detected(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def f():\n    from ..verifier.blocking import Verifier\n")
    assert imports("phone_verify.drivers.wrong", module) == {"phone_verify.verifier.blocking"}
    assert part("phone_verify.verifier.blocking") not in MAY_IMPORT["drivers.*"]


def test_importing_is_light_and_has_no_side_effects() -> None:
    """`import phone_verify` loads no HTTP client, no SQLAlchemy, no framework; nor does the verifier's module."""
    program = (
        "import sys, threading, phone_verify, phone_verify.verifier.blocking\n"
        "heavy = {'urllib3', 'sqlalchemy', 'django', 'flask', 'werkzeug', 'phonenumbers', 'yaml', 'segno',"
        " 'redis', 'aiohttp', 'psycopg', 'pymysql', 'alembic', 'click', 'opentelemetry', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]


#: A site of each framework, without a ledger and services.
PLAIN_SITES = {
    "django": """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY=key,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "phone_verify_django"],
    AUTHENTICATION_BACKENDS=["phone_verify_django.backends.PhoneBackend"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    ROOT_URLCONF="phone_verify_django.urls",
    PHONE_VERIFY={"sms": "console://", "store": "memory:"},
)
django.setup()
import phone_verify_django.urls
from phone_verify_django.site import current_site
site = current_site()
""",
    "flask": """
from flask import Flask
from phone_verify_flask import PhoneVerify
app = Flask("site")
app.config.update(SECRET_KEY=key, PHONE_VERIFY_SMS="console://", PHONE_VERIFY_STORE="memory:")
PhoneVerify(app)
site = app.extensions["phone_verify"].site
""",
}
#: What such a site loads of services, keys, the ledger, reports, webhooks and background work: the values of
#: its settings and of orders.
OF_PLAIN_SITES = {
    "phone_verify.ledger", "phone_verify.ledger.amounts", "phone_verify.ledger.prices", "phone_verify.ledger.values",
    "phone_verify.work", "phone_verify.work.background", "phone_verify.work.sends",
}  # fmt: skip


@pytest.mark.parametrize("framework", PLAIN_SITES)
def test_site_without_services_loads_nothing_of_them(framework: str) -> None:
    pytest.importorskip(framework)
    program = (
        f"import sys\nkey = 'k-Zq4T9wLr2Xv7Bn5Mc8Df3Gh6Jk1Pa0'\n{PLAIN_SITES[framework]}\n"
        "from phone_verify import PhoneNumber\n"
        "assert site.verifier.start(PhoneNumber('+989120000000')).ok\n"
        "print('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.rpartition("modules:")[2].split()
    parts = {"background", "database", "keys", "ledger", "reports", "services", "staff", "webhooks_out", "work"}
    found = {name for name in loaded if name.startswith("phone_verify.") and name.split(".")[1] in parts}
    assert found == OF_PLAIN_SITES
    assert "sqlalchemy" not in loaded


def test_documented_names_come_from_the_package_itself() -> None:
    """Every name of `__all__` is found, and the documentation takes none of them from a module below."""
    assert [name for name in phone_verify.__all__ if getattr(phone_verify, name).__name__ != name] == []
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text("utf-8").splitlines()]
    longer = [
        line for line in lines if re.match(r"from phone_verify\.(errors|model|phone|policy|verifier\.\w+) import", line)
    ]
    assert [
        line for line in longer if set(re.findall(r"\w+", line.partition("import")[2])) & set(phone_verify.__all__)
    ] == []
