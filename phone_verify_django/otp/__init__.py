"""A phone as django-otp's second factor: add `phone_verify_django.otp` to `INSTALLED_APPS`, with `django_otp`."""

from phone_verify.errors import missing_extra

try:
    import django_otp as _  # noqa: F401 - imported here so that a missing package is reported early
except ImportError as error:
    raise missing_extra("phone_verify_django.otp", "otp", error) from error
