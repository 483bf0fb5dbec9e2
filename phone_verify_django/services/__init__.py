"""Services, access keys, the ledger and reports: add `phone_verify_django.services` to `INSTALLED_APPS`."""
