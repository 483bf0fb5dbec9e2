"""The changes to a Flask application: a module for login by phone, and the lines that mount it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .source import Change, Plan, ProjectError, Source, region_overrides

_MODULE = "phone_login"
_USUAL = ("app.py", "wsgi.py", "main.py", "application.py")

_HEAD = '''"""Login by phone: pages at /phone/. See the guide for Flask."""

import os
import secrets

from flask_login import {flask_login}

from phone_verify_flask import PhoneVerify

phone_verify = PhoneVerify()
'''

_NEW_LOGIN = """
login_manager = LoginManager()
login_manager.login_view = "phone_verify.login"

users = {}  # for development only: replace it with your table of users


class User(UserMixin):
    def __init__(self, phone):
        self.id = self.phone = phone


@login_manager.user_loader
def load_user(id):
    return users.get(id)


@phone_verify.user_for_phone
def user_for_phone(redeemed):
    phone = redeemed.phone.e164
    return users.setdefault(phone, User(phone))
"""

_OLD_LOGIN = """

@phone_verify.user_for_phone
def user_for_phone(redeemed):
    # Return your user with the verified number redeemed.phone.e164, or create one; None refuses.
    return None
"""

_INIT = """

def init_app(app):
    # Without SECRET_KEY in the environment a random key is used, and a restart ends all sessions.
    app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)
    # In development codes are printed at the terminal; in production set PHONE_VERIFY_SMS in the environment.
    app.config.setdefault("PHONE_VERIFY_SMS", os.environ.get("PHONE_VERIFY_SMS", "console://"))
"""


class _Application(NamedTuple):
    """Where an application is created: its variable, and the function that returns it, if any."""

    name: str
    created: ast.stmt
    factory: ast.FunctionDef | None


def plan(folder: Path, region: str | None, application: Path | None) -> Plan:
    """Return the changes to the application in this folder. Raises `ProjectError`."""
    source, found = _search(folder, application)
    module = source.path.with_name(f"{_MODULE}.py")
    if module.exists():
        raise ProjectError(f"{module.relative_to(folder)} exists already")
    has_login = "LoginManager" in source.text
    text = _HEAD.replace("from flask_login import {flask_login}\n\n", "") if has_login else _HEAD
    text = text.replace("{flask_login}", "LoginManager, UserMixin") + (_OLD_LOGIN if has_login else _NEW_LOGIN) + _INIT
    for name, value in (("REGION", f'"{region}"'), ("ALLOWED_REGIONS", f'["{region}"]')) if region else ():
        text += f'    app.config.setdefault("PHONE_VERIFY_{name}", {value})\n'
    text += ("" if has_login else "    login_manager.init_app(app)\n") + "    phone_verify.init_app(app)\n"
    steps = [f"flask --app {_target(folder, source.path)} run", "Open http://127.0.0.1:5000/phone/login/"]
    if has_login:
        steps.insert(0, f"Write user_for_phone in {module.relative_to(folder)}: until then sign-in by phone is refused")
    changes = [Change(module, None, text), Change(source.path, source.text, _mounted(source, found))]
    return Plan(changes, steps, region_overrides(region))


def _target(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _search(folder: Path, application: Path | None) -> tuple[Source, _Application]:
    if application is not None and not application.is_relative_to(folder):
        raise ProjectError(f"{application} is not in this folder")
    candidates = [application] if application else [path for path in _candidates(folder) if path.is_file()]
    found: list[tuple[Source, _Application]] = []
    for path in candidates:
        source = Source.read(path)
        created = [*_applications(source.tree.body, None)]
        if len(created) > 1:
            raise ProjectError(f"{path.relative_to(folder)} creates several Flask applications; change it by hand")
        found += [(source, each) for each in created]
    if not found:
        raise ProjectError(
            "no manage.py, and no Flask application in app.py, wsgi.py or a package here; name its file: init FILE"
        )
    if len(found) > 1:
        names = ", ".join(str(source.path.relative_to(folder)) for source, _ in found)
        raise ProjectError(f"several files create a Flask application ({names}); name one: init FILE")
    return found[0]


def _candidates(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in _USUAL)
    yield from sorted(folder.glob("[!.]*/__init__.py"))
    yield from sorted(folder.glob("[!.]*/app.py"))


def _applications(body: Sequence[ast.stmt], factory: ast.FunctionDef | None) -> Iterator[_Application]:
    for node in body:
        if isinstance(node, ast.FunctionDef) and factory is None:
            yield from _applications(node.body, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_flask(node.value):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield _Application(target.id, node, factory)


def _is_flask(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    return (value.func.id if isinstance(value.func, ast.Name) else getattr(value.func, "attr", "")) == "Flask"


def _mounted(source: Source, found: _Application) -> str:
    """Return the file with our import after the others, and our call where the application is complete."""
    imports = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    before = [node for node in imports if node.lineno < found.created.lineno]
    if not before:
        raise ProjectError(f"{source.path.name} has no imports before the application")
    is_package = source.path.name == "__init__.py" or (source.path.parent / "__init__.py").exists()
    wanted = f"from . import {_MODULE}" if is_package else f"import {_MODULE}"
    call = f"{_MODULE}.init_app({found.name})"
    if found.factory is None:
        after, indent = _complete_at(source.tree.body, found), ""
    else:
        ends = [node for node in found.factory.body if isinstance(node, ast.Return)]
        if not ends or not isinstance(ends[-1].value, ast.Name) or ends[-1].value.id != found.name:
            raise ProjectError(f"{found.factory.name} in {source.path.name} does not end with `return {found.name}`")
        after, indent = ends[-1].lineno - 1, " " * ends[-1].col_offset
    lines = source.text.splitlines()
    lines.insert(after, indent + call)
    lines.insert(before[-1].end_lineno or 0, wanted)
    return "\n".join(lines) + "\n"


def _complete_at(body: Sequence[ast.stmt], found: _Application) -> int:
    """Return the last line that sets the application up: one with its config, or that passes it to an extension."""
    last = found.created
    for node in body:
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and any(
            _is_config(part, found.name) or _passes(part, found.name) for part in ast.walk(node)
        ):
            last = node
    return last.end_lineno or last.lineno


def _is_config(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("config", "secret_key")
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    )


def _passes(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and any(isinstance(each, ast.Name) and each.id == name for each in node.args)
