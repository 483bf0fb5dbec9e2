"""Raise ImportError if the other distribution with a package named `phone_verify` is installed.

The two overwrite each other's files. This module is therefore imported before the core.
"""

from importlib.metadata import PackageNotFoundError, distribution

_CONFLICT = "django-phone-verify"

try:
    distribution(_CONFLICT)
except PackageNotFoundError:
    pass
else:
    raise ImportError(
        f"{_CONFLICT} is installed, and its import package is named phone_verify too. Remove it and reinstall "
        f"phone-verify: pip uninstall {_CONFLICT} && pip install --force-reinstall phone-verify"
    )
