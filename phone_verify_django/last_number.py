"""The numbers with which the login page of a trusted device can offer to continue."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.contrib.auth import get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest

from . import backends, phones, rights, sessions
from .site import current_site

log = logging.getLogger("phone_verify")


def numbers_of(user_id: str) -> Sequence[str]:
    """Return the current numbers of the user with this id; none if the user cannot sign in by phone.

    `Accounts.may_sign_in` decides after the verification only.
    """
    path = backends.backend_path()
    if path is None:
        return []
    try:
        user = load_backend(path).get_user(get_user_model()._meta.pk.to_python(user_id))
        if user is None or (rights.is_staff(user) and not current_site().staff_sign_in_by_phone):
            return []
        return phones.phones_of(user)
    except ValidationError:  # the site has another user model than at that sign-in
        return []
    except DatabaseError as error:  # the rest of the page does not need the database of users
        log.error("the number of a trusted device cannot be looked up: %s", type(error).__name__)
        return []


def outlives_browser(request: HttpRequest) -> bool:
    """Return whether the session outlives the browser; if not, the visitor may use a device of others."""
    session = getattr(request, "session", None)
    return session is not None and not session.get_expire_at_browser_close()


def id_for_device(request: HttpRequest) -> str:
    """Return the newly signed-in user's id for the device's cookie; empty if it is not kept."""
    user = sessions.user_of(request)
    return str(user.pk) if user is not None and outlives_browser(request) else ""
