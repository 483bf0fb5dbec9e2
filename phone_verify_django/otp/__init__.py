"""A phone as django-otp's second factor: put `phone_verify_django.otp` in `INSTALLED_APPS` beside `django_otp`."""
