"""The environment into the settings of the site. Nothing secret has a default that somebody else knows."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url

VAR = Path(__file__).resolve().parent / "var"
LOOPBACK = "localhost,.localhost,127.0.0.1,[::1]"

#: The drivers that the project's extras install.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def read(environ):
    """Flask's settings, and the site's own."""
    return {
        "SECRET_KEY": environ.get("SECRET_KEY") or shared_secret_key(),
        "DEBUG": environ.get("DEBUG", "0").strip().lower() in ("1", "true", "yes", "on"),
        "DATABASE_URL": database_url(environ.get("DATABASE_URL")),
        "ALLOWED_HOSTS": (environ.get("ALLOWED_HOSTS") or LOOPBACK).replace(",", " ").lower().split(),
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": by_https(environ),
        "REMEMBER_COOKIE_HTTPONLY": True,
        "REMEMBER_COOKIE_SAMESITE": "Lax",
        "REMEMBER_COOKIE_SECURE": by_https(environ),
    }


def by_https(environ):
    """Whether visitors reach the site by https."""
    return environ.get("PHONE_VERIFY_PUBLIC_URL", "").strip().lower().startswith("https:")


def database_url(text):
    """The URL for SQLAlchemy; without one, SQLite in `var/`."""
    if not text:
        VAR.mkdir(mode=0o700, exist_ok=True)
        make_private_file(VAR / "site.sqlite3")  # it holds phone numbers
        return make_url(f"sqlite:///{VAR / 'site.sqlite3'}")
    url = make_url(text)
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def make_private_file(path):
    """Create a missing file with mode 0600, before a database opens it with the mode that its umask leaves."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def shared_secret_key():
    """The key in `var/secret_key`, drawn by the first who asks; all workers get the same one."""
    VAR.mkdir(mode=0o700, exist_ok=True)
    file = VAR / "secret_key"
    if not file.exists():
        # Written whole under a name of its own, for this user only (mkstemp's 0600), then linked: linking fails where
        # another worker was first, and nobody ever reads half a key.
        handle, drawn = tempfile.mkstemp(dir=VAR)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(48))
            os.link(drawn, file)
        except FileExistsError:
            pass
        finally:
            os.unlink(drawn)
    return file.read_text(encoding="ascii").strip()


def is_allowed(host, allowed):
    """Whether a request's host, whatever its port, is one of ours: by name, by `.domain` with all below it, or `*`."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return any(
        pattern in ("*", name, f"[{name}]") or (pattern.startswith(".") and f".{name}".endswith(pattern))
        for pattern in allowed
    )
