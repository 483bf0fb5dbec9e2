"""Login by phone and verification of numbers for Django: put `phone_verify_django` in `INSTALLED_APPS`."""

from importlib.metadata import PackageNotFoundError, distribution

from django.core.exceptions import ImproperlyConfigured


def _refuse_namesake() -> None:
    # Both projects install a package `phone_verify`, and whichever came last has overwritten the other's files.
    try:
        distribution("django-phone-verify")
    except PackageNotFoundError:
        return
    raise ImproperlyConfigured(
        "The project django-phone-verify is installed, and it owns a package of the same name: phone_verify. "
        "Only one of the two can be there. Run: pip uninstall django-phone-verify, and then: "
        "pip install --force-reinstall 'phone-verify[django]'"
    )


_refuse_namesake()
