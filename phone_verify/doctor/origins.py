"""Checks of the origins that may call the API."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..config.origins import split_origins
from ..config.site import trusted_origins
from ..drivers.options import is_loopback
from .finding import Finding, Level
from .loader import Reading, setting


def origins(reading: Reading) -> Iterator[Finding]:
    """Report which origins may call the API, and which of the framework's list may not."""
    name, settings = setting("trusted_origins"), reading.settings
    trusted = trusted_origins(settings, reading.given.framework_origins)
    skipped = split_origins(reading.given.framework_origins)[1] if settings.trusted_origins is None else ()
    if skipped:
        hosts = ", ".join(entry.rpartition("@")[2] for entry in skipped)  # without a user name and a password
        says = f"The API does not trust {hosts}, because only exact origins can call it."
        advice = "Set it to the origins of your pages and apps, if they call the API."
        yield Finding(Level.NOTE, name, says, advice, id="PV412")
    plain = [origin for origin in trusted if origin.startswith("http://") and not _is_here(origin)]
    if plain and reading.given.production:
        says = f"{', '.join(plain)} is plain HTTP: anyone on the network can change that page and call the API from it."
        yield Finding(Level.WARNING, name, says, "Serve it over https.", id="PV413")
    if trusted:
        says = f"Pages and apps of these origins may call the API for a visitor: {', '.join(trusted)}."
        yield Finding(Level.OK, "", says, id="PV414")


def _is_here(origin: str) -> bool:
    host = urlsplit(origin).hostname or ""
    return is_loopback(host) or host.endswith(".localhost")
