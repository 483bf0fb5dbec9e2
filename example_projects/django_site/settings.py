"""The example site, configured by the environment alone.

PHONE_VERIFY_…   settings of the library, for example PHONE_VERIFY_SMS=sandbox://127.0.0.1:8025
DATABASE_URL     users, sessions and verifications; default: SQLite in var/
SECRET_KEY       default: generated once in var/secret_key
ALLOWED_HOSTS    separated by commas; default: the loopback names
DEBUG            1 for a developer's site
ASK_NAME         1: new users complete the form of forms.py
STAFF_PASSWORD   creates the user "staff" for /admin/ with this password; for a demo
OAUTH_CLIENT     id:secret of an OAuth client that signs users in; needs the extra "oauthtoolkit"
PHONE_VERIFY_LEDGER  orm: keeps access keys and services in Django's database
LOG_LEVEL        default: INFO
"""

import os
from pathlib import Path

import dj_database_url
from first_start import make_private_file, secret_key

FOLDER = Path(__file__).resolve().parent
VAR = FOLDER / "var"


def flag(name: str) -> bool:
    """Return whether an environment variable is true."""
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


DEBUG = flag("DEBUG")
SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key(VAR)
ALLOWED_HOSTS = [name.strip() for name in os.environ.get("ALLOWED_HOSTS", "").split(",") if name.strip()] or [
    "localhost",
    ".localhost",
    "127.0.0.1",
    "[::1]",
]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_otp",
    "phone_verify_django",
    "phone_verify_django.otp",
]
if os.environ.get("PHONE_VERIFY_LEDGER", "").startswith("orm:"):
    INSTALLED_APPS.append("phone_verify_django.services")
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "phone_verify_django.middleware.PhoneSessionMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",  # the admin's form for user name and password
    "phone_verify_django.backends.PhoneBackend",
]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FOLDER / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "texts.in_templates",
            ]
        },
    }
]

# All other settings of phone_verify come from the environment.
PHONE_VERIFY = {"token": "tokens.make", "user_for_token": "tokens.user"}
if flag("ASK_NAME"):
    PHONE_VERIFY["signup_form"] = "forms.NameForm"

if OAUTH_CLIENT := os.environ.get("OAUTH_CLIENT"):
    INSTALLED_APPS += ["oauth2_provider", "phone_verify_django.oauth_toolkit"]
    OAUTH2_PROVIDER = {
        "OAUTH2_BACKEND_CLASS": "phone_verify_django.oauth_toolkit.core.PhoneVerifyOAuthCore",
        "SCOPES": {"phone_verify": "Verify phone numbers", "profile": "Read your number"},
        "DEFAULT_SCOPES": ["profile"],
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    }
    PHONE_VERIFY["oauth_grants"] = {"mobile_verification": {"clients": [OAUTH_CLIENT.split(":")[0]]}}

LOGIN_URL = "phone_verify:login"
OTP_LOGIN_URL = "second_factor"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

DATABASES = {
    "default": dj_database_url.config(conn_max_age=60, conn_health_checks=True)
    or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(VAR / "site.sqlite3")}
}
if DATABASES["default"]["NAME"] == str(VAR / "site.sqlite3"):
    VAR.mkdir(mode=0o700, exist_ok=True)
    make_private_file(VAR / "site.sqlite3")  # it holds phone numbers
# If the database does not respond, the visitor gets a 503 and the thread is free for the next request.
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        "django.db.backends.sqlite3": {
            "timeout": 5,
            # WAL: readers do not wait for the writer. IMMEDIATE: a writer waits before it has read anything.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode = WAL",
        },
        "django.db.backends.postgresql": {
            "connect_timeout": 5,
            "tcp_user_timeout": 5000,
            "options": "-c lock_timeout=5s -c statement_timeout=5s",
        },
        "django.db.backends.mysql": {
            "connect_timeout": 5,
            "read_timeout": 5,
            "write_timeout": 5,
            "init_command": "SET innodb_lock_wait_timeout = 5",
        },
    }.get(DATABASES["default"]["ENGINE"], {})
)

# On an https site, cookies are sent over https only, and forms must come from there.
_PUBLIC_URL = os.environ.get("PHONE_VERIFY_PUBLIC_URL", "").strip().rstrip("/").lower()
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _PUBLIC_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [_PUBLIC_URL] if "://" in _PUBLIC_URL else []

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL") or "INFO"},
    "loggers": {"django": {"handlers": [], "level": "NOTSET"}},
}

# The visitor's browser chooses one of these; the pages and messages of phone_verify use it too.
LANGUAGES = [("en", "English"), ("fa", "فارسی"), ("ru", "Русский"), ("ar", "العربية")]
LANGUAGE_CODE = "en"
LANGUAGE_COOKIE_NAME = "language"

STATIC_URL = "static/"
STATICFILES_DIRS = [FOLDER / "static"]

USE_TZ = True
TIME_ZONE = "UTC"
