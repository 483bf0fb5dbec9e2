"""Phone login and phone verification for Django: add `phone_verify_django` to `INSTALLED_APPS`."""

from importlib.metadata import PackageNotFoundError, distribution

from django.core.exceptions import ImproperlyConfigured


def _refuse_conflict() -> None:
    # Both projects install a package `phone_verify`; the one installed last has overwritten files of the other.
    try:
        distribution("django-phone-verify")
    except PackageNotFoundError:
        return
    raise ImproperlyConfigured(
        "The project django-phone-verify is installed, and it has a package of the same name: phone_verify. "
        "Only one of the two can be installed. Run: pip uninstall django-phone-verify, and then: "
        "pip install --force-reinstall 'phone-verify[django]'"
    )


_refuse_conflict()
