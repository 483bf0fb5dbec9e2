"""Another project installs a package named `phone_verify` too; this module comes before any import of ours.

The two would overwrite each other's files, and what is then imported is neither.
"""

from importlib.metadata import PackageNotFoundError, distribution

_NAMESAKE = "django-phone-verify"

try:
    distribution(_NAMESAKE)
except PackageNotFoundError:
    pass
else:
    raise ImportError(
        f"{_NAMESAKE} is installed, and its import package is named phone_verify like ours. Remove it and install "
        f"phone-verify anew: pip uninstall {_NAMESAKE} && pip install --force-reinstall phone-verify"
    )
