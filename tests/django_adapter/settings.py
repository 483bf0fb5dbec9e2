"""A site with only the app: for the tests, and for the type checker's plugin to read the models."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SECRET_KEY = "a key for tests only, and long enough for them"
ALLOWED_HOSTS = ["testserver", "localhost", "site.example"]
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
    "phone_verify_django.services",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "phone_verify_django.middleware.PhoneSessionMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "phone_verify_django.otp.middleware.PhoneFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = ["phone_verify_django.backends.PhoneBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.django_adapter.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
LOGIN_REDIRECT_URL = "home"
PHONE_VERIFY = {"sms": "console://"}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            # Durability is not required here.
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
        },
        # A file: threads with separate connections would conflict over table locks in memory.
        "TEST": {"NAME": str(Path(tempfile.gettempdir()) / f"phone_verify_test_{os.getpid()}.sqlite3")},
    }
}
USE_TZ = True

if _ELSEWHERE := os.environ.get("PHONE_VERIFY_TEST_DATABASE"):  # a store URL: see run_on.py
    from tests.django_adapter.databases import settings_of

    _ENDS = {
        "django.db.backends.postgresql": {
            "connect_timeout": 5,
            "options": "-c lock_timeout=5s -c statement_timeout=20s",
        },
        "django.db.backends.mysql": {
            "connect_timeout": 5,
            "read_timeout": 20,
            "write_timeout": 20,
            "init_command": "SET innodb_lock_wait_timeout = 5",
        },
    }
    DATABASES["default"] = settings_of(_ELSEWHERE)
    DATABASES["default"]["OPTIONS"] = _ENDS[DATABASES["default"]["ENGINE"]]
