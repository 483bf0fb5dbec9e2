"""django-allauth's phone login with our verifications: add `phone_verify_django.allauth` to `INSTALLED_APPS`."""

from phone_verify.errors import missing_extra

try:
    import allauth as _  # type: ignore[import-untyped]  # noqa: F401 - imported here so that a missing package is reported early
except ImportError as error:
    raise missing_extra("phone_verify_django.allauth", "allauth", error) from error
