"""The numbers with which the login page of a trusted device can offer to continue."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flask import current_app

from . import rights
from .state import current_state

log = logging.getLogger("phone_verify")


def numbers_of(user_id: str) -> Sequence[str]:
    """Return the current number of the user with this id; none if the user cannot sign in by phone."""
    here, load = current_state(), current_app.login_manager._user_callback  # type: ignore[attr-defined]
    try:
        user = None if load is None else current_app.ensure_sync(load)(user_id)
    except Exception:  # the rest of the page does not need the site's users
        log.exception("the user_loader failed for the user of a trusted device")
        return []
    if user is None or not user.is_active:
        return []
    if rights.is_staff(here.site, user) and not here.site.staff_sign_in_by_phone:
        return []
    phone = here.accounts.number_of(user)
    return [] if phone is None else [phone.e164]
