"""Checks of the installed packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .finding import Finding, Level

#: Distributions with the import package `phonenumbers`; ours requires the first.
_SAME_FILES = ("phonenumbers", "phonenumberslite")


def packages() -> Iterator[Finding]:
    """Report distributions that overwrite each other's files."""
    try:
        required, other = map(version, _SAME_FILES)
    except PackageNotFoundError:
        return
    says = (
        f"phonenumbers {required} and phonenumberslite {other} are both installed. They contain the same files: the "
        "last one installed is in use, and removing either deletes the files of both."
    )
    advice = (
        "Require only phonenumbers; it contains all of phonenumberslite. Then: "
        "pip uninstall phonenumberslite && pip install --force-reinstall phonenumbers"
    )
    yield Finding(Level.WARNING, "", says, advice, id="PV901")
