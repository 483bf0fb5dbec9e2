#!/usr/bin/env python3
"""Write new initial migrations from Django's models and from the tables of the SQL store.

Only until the first release: afterwards sites have run them, and every change is a new
migration. Run by `make migrations`. A migration with an operation that no model can express
(`RunSQL`, `RunPython`, `op.execute`) is kept: it contains nothing else and depends on the initial one.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

ROOT = Path(__file__).resolve().parent.parent
#: Django's apps with tables: their labels, and their folders.
APPS = {
    "phone_verify_django": "phone_verify_django",
    "phone_verify_otp": "phone_verify_django/otp",
    "phone_verify_allauth": "phone_verify_django/allauth",
    "phone_verify_services": "phone_verify_django/services",
}
#: The least that these apps start with.
SETTINGS = {
    "SECRET_KEY": secrets.token_urlsafe(48),
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "allauth.account",
        *(folder.replace("/", ".") for folder in APPS.values()),
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "phone_verify_django.middleware.PhoneSessionMiddleware",
        "django_otp.middleware.OTPMiddleware",
        "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    "AUTHENTICATION_BACKENDS": ["phone_verify_django.backends.PhoneBackend"],
    "ACCOUNT_ADAPTER": "phone_verify_django.allauth.adapter.PhoneVerifyAccountAdapter",
    "ACCOUNT_FORMS": {
        "confirm_login_code": "phone_verify_django.allauth.forms.ConfirmLoginCodeForm",
        "verify_phone": "phone_verify_django.allauth.forms.VerifyPhoneForm",
    },
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "SILENCED_SYSTEM_CHECKS": ["phone_verify.W012"],
    "USE_TZ": True,
}
SQL = ROOT / "phone_verify/stores/sql"
_WRITTEN_BY_PEOPLE = re.compile(r"RunSQL|RunPython|SeparateDatabaseAndState|op\.execute|get_bind")

_ON_USER = "migrations.swappable_dependency(settings.AUTH_USER_MODEL),\n"

_REVISION = '''\
"""The tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None


def _text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    by_bytes = postgresql.VARCHAR(length, collation="C")
    return sa.String(length).with_variant(exact, "mysql", "mariadb").with_variant(by_bytes, "postgresql")


def upgrade() -> None:
'''


def main() -> None:
    """Write the migrations of every app and of the SQL store, and format them."""
    revisions = SQL / "migrations/versions"
    folders = [*(ROOT / folder / "migrations" for folder in APPS.values()), revisions]
    with kept_aside(folders):
        django("makemigrations", *APPS, "--no-header")
        make_revision(revisions / "0001_tables.py")
    for folder in folders[:-1]:
        depend_on_the_site_s_user(folder / "0001_initial.py")
    head = max(path.name[:4] for path in revisions.glob("0*.py"))
    schema = SQL / "schema.py"
    schema.write_text(re.sub(r'^HEAD = "\d+"', f'HEAD = "{head}"', schema.read_text("utf-8"), flags=re.M), "utf-8")
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "-q", "--fix", *folders], check=True)
    subprocess.run([ruff, "format", "-q", *folders], check=True)
    django("makemigrations", *APPS, "--check", "--dry-run")


def depend_on_the_site_s_user(path: Path) -> None:
    """Let a migration depend on the site's user model, and not on `auth`, which has another one.

    Django writes `auth` for a primary key that refers to the user.
    """
    text = re.sub(r"^( *)\('auth', '.*'\),\n", rf"\1{_ON_USER}", path.read_text("utf-8"), flags=re.M)
    twice = re.compile(rf"({re.escape(_ON_USER.strip())}\s+){{2}}")
    path.write_text(twice.sub(rf"{_ON_USER}    ", text), "utf-8")


@contextmanager
def kept_aside(folders: list[Path]) -> Iterator[None]:
    """Remove the migrations in these folders; put those written by people back afterwards."""
    kept = {}
    for path in sorted(path for folder in folders for path in folder.glob("0*.py")):
        text = path.read_text("utf-8")
        if _WRITTEN_BY_PEOPLE.search(text):
            kept[path] = text
        path.unlink()
    try:
        yield
    finally:
        for path, text in kept.items():
            print(f"kept: {path.relative_to(ROOT)}")
            path.write_text(text, "utf-8")


def make_revision(path: Path) -> None:
    """Write the first revision of the SQL store."""
    from phone_verify.stores.sql.tables import metadata

    with sa.create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": metadata, "render_item": _short, "sqlalchemy_module_prefix": "sa."}
        )
        operations = produce_migrations(context, metadata).upgrade_ops
        code = render_python_code(operations, render_item=_short)
    lines = [line for line in code.splitlines() if not line.lstrip().startswith("#")]
    body = "\n".join(line if line.startswith("    ") else f"    {line}" for line in lines)
    path.write_text(f"{_REVISION}{body}\n", "utf-8")


def _short(kind: str, item: Any, _: Any) -> str | bool:
    """Return our own type as a call of `_text`; False for everything else, which Alembic writes."""
    is_ours = kind == "type" and type(item) is sa.String and "postgresql" in item._variant_mapping
    return f"_text({item.length})" if is_ours else False


def django(*words: str) -> None:
    """Run one of Django's commands with `SETTINGS`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PHONE_VERIFY_SMS": "console://"}
    run = f"from django.conf import settings\nsettings.configure(**{SETTINGS!r})\n"
    run += f"import django\ndjango.setup()\nfrom django.core.management import call_command\ncall_command(*{words!r})"
    subprocess.run([sys.executable, "-c", run], check=True, env=environment, cwd=ROOT)


if __name__ == "__main__":
    main()
