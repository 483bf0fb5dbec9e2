"""A phone as django-otp's second factor: add `phone_verify_django.otp` to `INSTALLED_APPS`, with `django_otp`."""
