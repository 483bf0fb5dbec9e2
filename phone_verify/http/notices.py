"""The SMS to a previous number, which informs its owner of a change."""

from __future__ import annotations

from ..i18n.texts import Texts
from ..phone import PhoneNumber
from .site import Site


def notify_old_number(site: Site, old: PhoneNumber, texts: Texts) -> None:
    """Send it if the site has enabled it.

    Never raises; the text contains neither a link nor the new number.
    """
    if site.notify_old_number:
        site.verifier.notify(old, texts.number_changed(site.name))
