"""Which phone signed a session in, so that the same phone is not its second factor too.

The session keeps the phone's tag, not the number, since a session may be a cookie that its owner can
read. It also keeps the id of the tag's key: a tag under another key cannot be compared. And it keeps
the backend of that login, which a later login by password replaces: the phone may then be the second.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, load_backend
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from phone_verify import PhoneNumber

from ..backends import PhoneBackend
from ..site import current_site

SESSION_KEY = "phone_verify_first_factor"


def connect() -> None:
    """Record the phone of each login by phone, from now on."""
    user_logged_in.connect(_record_phone, dispatch_uid="phone_verify_django.otp")


def is_used_in(session: SessionBase, phone: PhoneNumber) -> bool:
    """Return whether this phone signed this session in, or may have: its tag cannot be compared."""
    keyring, path = current_site().verifier.flows.keyring, session.get(BACKEND_SESSION_KEY)
    match session.get(SESSION_KEY):
        case [key_id, tag, backend] if backend == path:
            return bool(key_id != keyring.tag_key_id or tag == keyring.tag(phone))
        case _:
            return _is_ours(path)


def _is_ours(path: str | None) -> bool:
    if path is None:
        return False
    try:
        return isinstance(load_backend(path), PhoneBackend)
    except ImportError:  # the backend was removed: Django treats its sessions as anonymous
        return False


def _record_phone(request: HttpRequest, user: Any, **_: object) -> None:
    # django-otp logs the user in again with the second factor; no phone was verified for that.
    phone = getattr(user, "proven_phone", None)
    if phone is not None:
        keyring = current_site().verifier.flows.keyring
        backend = request.session[BACKEND_SESSION_KEY]
        request.session[SESSION_KEY] = [keyring.tag_key_id, keyring.tag(phone), backend]
