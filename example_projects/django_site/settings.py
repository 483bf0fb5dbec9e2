"""The example site, configured by the environment alone.

PHONE_VERIFY_…   as the library reads them, for example PHONE_VERIFY_SMS=sandbox://127.0.0.1:8025
DATABASE_URL     users, sessions and verifications; default: SQLite in var/
SECRET_KEY       default: drawn once into var/secret_key
ALLOWED_HOSTS    separated by commas; default: the loopback names
DEBUG            1 for a developer's site
"""

import os
from pathlib import Path

import dj_database_url
from first_start import secret_key

FOLDER = Path(__file__).resolve().parent
VAR = FOLDER / "var"

DEBUG = os.environ.get("DEBUG", "").strip().lower() in ("1", "true", "yes", "on")
SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key(VAR)
ALLOWED_HOSTS = [name.strip() for name in os.environ.get("ALLOWED_HOSTS", "").split(",") if name.strip()] or [
    "localhost",
    ".localhost",
    "127.0.0.1",
    "[::1]",
]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "phone_verify_django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = ["phone_verify_django.backends.PhoneBackend"]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FOLDER / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

LOGIN_URL = "phone_verify:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

DATABASES = {
    "default": dj_database_url.config(conn_max_age=60, conn_health_checks=True)
    or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(VAR / "site.sqlite3")}
}
if DATABASES["default"]["NAME"] == str(VAR / "site.sqlite3"):
    VAR.mkdir(mode=0o700, exist_ok=True)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers do not wait for the writer, and a writer that has to wait does so before it has read anything.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL",
    }

# Where visitors come by https, cookies go by nothing else, and forms come from there.
_PUBLIC_URL = os.environ.get("PHONE_VERIFY_PUBLIC_URL", "").strip().rstrip("/").lower()
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _PUBLIC_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [_PUBLIC_URL] if "://" in _PUBLIC_URL else []

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django": {"handlers": [], "level": "INFO"}},
}

# Of these the visitor's browser chooses; phone_verify's pages and messages follow.
LANGUAGES = [("en", "English"), ("fa", "فارسی"), ("ru", "Русский"), ("ar", "العربية")]
LANGUAGE_CODE = "en"

USE_TZ = True
TIME_ZONE = "UTC"
