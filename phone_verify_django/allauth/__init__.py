"""django-allauth's phone login with our verifications: add `phone_verify_django.allauth` to `INSTALLED_APPS`."""
