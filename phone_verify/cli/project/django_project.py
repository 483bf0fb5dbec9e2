"""The changes to a Django project: settings and the root URLconf."""

from __future__ import annotations

import ast
from pathlib import Path

from ..site_loader import settings_module_of
from .source import Change, Plan, ProjectError, Source, region_overrides

_BACKENDS = ("django.contrib.auth.backends.ModelBackend", "phone_verify_django.backends.PhoneBackend")
_REDIRECTS = {
    "LOGIN_URL": '"phone_verify:login"',
    "LOGIN_REDIRECT_URL": '"/"  # a page of your site, shown after signing in',
    "LOGOUT_REDIRECT_URL": '"/"',
}
_ENTRY = 'path("phone/", include("phone_verify_django.urls")),'


def plan(folder: Path, region: str | None) -> Plan:
    """Return the changes to the project of this manage.py. Raises `ProjectError`."""
    module = settings_module_of(folder / "manage.py")
    if module is None:
        raise ProjectError("manage.py names no settings: it sets no DJANGO_SETTINGS_MODULE")
    settings = Source.read(_file_of(folder, module))
    root = _found(settings, "ROOT_URLCONF", folder)
    urls = Source.read(_file_of(folder, root))
    debug = _knows_debug(settings)
    return Plan(
        [
            Change(settings.path, settings.text, settings.text.rstrip("\n") + "\n\n" + _block(settings, region)),
            Change(urls.path, urls.text, _with_route(urls)),
        ],
        ["python manage.py migrate", "python manage.py runserver", "Open http://127.0.0.1:8000/phone/login/"],
        {"sms": "while DEBUG is on" if debug else "", **region_overrides(region)},
    )


def _knows_debug(settings: Source) -> bool:
    return settings.assigned("DEBUG") is not None or settings.imports_all


def _file_of(folder: Path, module: str) -> Path:
    path = folder.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _found(settings: Source, name: str, folder: Path) -> str:
    """Return the text assigned to a setting, also in the module that this one imports everything from."""
    value = settings.assigned(name)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    for node in settings.tree.body:
        if isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] == ["*"] and node.module:
            base = settings.path.parents[node.level - 1] if node.level else folder
            return _found(Source.read(_file_of(base, node.module)), name, folder)
    raise ProjectError(f"{settings.path.name} has no {name} = '…' that can be read")


def _block(settings: Source, region: str | None) -> str:
    """Return the lines to append to the settings."""
    lines = [
        "# Login by phone",
        _more(settings, "INSTALLED_APPS", "phone_verify_django"),
        _more(settings, "MIDDLEWARE", "phone_verify_django.middleware.PhoneSessionMiddleware"),
    ]
    if settings.assigned("AUTHENTICATION_BACKENDS") is not None:
        lines.append(_more(settings, "AUTHENTICATION_BACKENDS", _BACKENDS[1]))
    else:
        lines += ["AUTHENTICATION_BACKENDS = [", *(f'    "{backend}",' for backend in _BACKENDS), "]"]
    for name, line in _REDIRECTS.items():
        if settings.assigned(name) is None and not settings.imports_all:
            lines.append(f"{name} = {line}")
    lines.append("PHONE_VERIFY = {")
    if _knows_debug(settings):
        lines.append(
            '    "sms": "console://" if DEBUG else None,  # in production: PHONE_VERIFY_SMS in the environment'
        )
    else:
        lines.append('    "sms": "console://",  # replace it in production')
    if region:
        lines += [f'    "region": "{region}",', f'    "allowed_regions": ["{region}"],']
    return "\n".join([*lines, "}", ""])


def _more(settings: Source, name: str, entry: str) -> str:
    value = settings.assigned(name)
    if value is None and not settings.imports_all:
        raise ProjectError(f"{settings.path.name} has no {name}")
    # A tuple takes no list by +=, and the kind of an imported value is unknown.
    return f'{name} += ["{entry}"]' if isinstance(value, ast.List) else f'{name} = [*{name}, "{entry}"]'


def _with_route(urls: Source) -> str:
    """Return the URLconf with our entry: inside a list whose bracket ends on a separate line, else below."""
    value = urls.assigned("urlpatterns")
    if value is None:
        raise ProjectError(f"{urls.path.name} has no urlpatterns")
    lines = urls.text.splitlines()
    end = value.end_lineno or 0
    last_entry = lines[end - 2].rstrip() if end > 1 else ""
    if isinstance(value, ast.List) and lines[end - 1].strip() == "]" and last_entry.endswith((",", "[")):
        text = urls.with_lines(end - 1, f"    {_ENTRY}")
    else:
        text = urls.text.rstrip("\n") + f"\n\nurlpatterns = [*urlpatterns, {_ENTRY.rstrip(',')}]\n"
    return _with_imports(urls, text)


def _with_imports(urls: Source, text: str) -> str:
    """Return the text with `include` and `path` imported: the line from django.urls is above our entry."""
    old = [node for node in urls.tree.body if isinstance(node, ast.ImportFrom) and node.module == "django.urls"]
    known = {alias.name for node in old for alias in node.names if alias.asname is None}
    missing = {"include", "path"} - known
    if not missing:
        return text
    lines = text.splitlines()
    # A line with an alias, a bracket or a comment stays, and gets one below it.
    unaliased = [node for node in old if not any(alias.asname for alias in node.names)]
    plain = [node for node in unaliased if lines[node.lineno - 1] == ast.unparse(node)]
    if plain:
        names = sorted({alias.name for alias in plain[0].names} | missing)
        lines[plain[0].lineno - 1] = f"from django.urls import {', '.join(names)}"
    else:
        imports = [node for node in urls.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        if not imports:
            raise ProjectError(f"{urls.path.name} imports nothing")
        lines.insert(imports[-1].end_lineno or 0, f"from django.urls import {', '.join(sorted(missing))}")
    return "\n".join(lines) + "\n"
