"""The SMS to an old number, so that its owner learns of a change that somebody else may have made."""

from __future__ import annotations

from ..i18n.texts import Texts
from ..phone import PhoneNumber
from .site import Site


def notify_old_number(site: Site, old: PhoneNumber, texts: Texts) -> None:
    """Send it where the site has switched it on. Never raises, and names neither a link nor the new number."""
    if site.notify_old_number:
        site.verifier.notify(old, texts.number_changed(site.name))
