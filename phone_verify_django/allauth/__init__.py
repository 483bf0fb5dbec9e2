"""django-allauth's phone login over our verifications: put `phone_verify_django.allauth` in `INSTALLED_APPS`."""
