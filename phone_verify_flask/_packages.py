"""Raise `ConfigurationError` if a package of the extra `flask` is missing."""

from importlib import import_module

from phone_verify.errors import missing_extra

for _name in ("flask", "flask_login", "flask_wtf", "rich"):
    try:
        import_module(_name)
    except ImportError as error:
        raise missing_extra("phone_verify_flask", "flask", error) from error
