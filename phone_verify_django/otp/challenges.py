"""Which session requested which code: a code counts only in the session that requested it.

The binding has two halves. The session keeps the secret of each verification that it started; the
device's row keeps the verification's id, under a digest of that secret. A reader of the table, or of
a session that is kept in a cookie, holds one half: not enough to check or to resend a code.
"""

from __future__ import annotations

import hashlib

from django.contrib.sessions.backends.base import SessionBase

from phone_verify.external.forms import NO_VERIFICATION, PendingVerification

#: Session key: the secrets, by the device's primary key.
SESSION_KEY = "phone_verify_second_factor"

#: The value in a device's row: digests and ids, oldest first.
Rows = list[list[str]]

#: The most sessions with a code for one device, and the most devices with a code in one session. The
#: oldest is dropped, and has to request another code.
_MOST = 5


def pending_in(session: SessionBase, device: int, rows: Rows) -> PendingVerification:
    """Return what this session started for this device, or `NO_VERIFICATION`."""
    secret = _secrets(session).get(str(device), "")
    id = dict(rows).get(_digest(secret)) if secret else None
    return PendingVerification(id, secret) if id else NO_VERIFICATION


def keep(session: SessionBase, device: int, rows: Rows, pending: PendingVerification) -> Rows:
    """Keep the secret in the session, replacing an earlier one; return the rows for the table."""
    rows = forget(session, device, rows)
    secrets = {**_secrets(session), str(device): pending.secret}
    session[SESSION_KEY] = dict(list(secrets.items())[-_MOST:])
    return [*rows, [_digest(pending.secret), pending.id]][-_MOST:]


def forget(session: SessionBase, device: int, rows: Rows) -> Rows:
    """Drop what this session started for this device; return the rows for the table."""
    secrets = _secrets(session)
    secret = secrets.pop(str(device), "")
    session[SESSION_KEY] = secrets
    digest = _digest(secret)
    return [row for row in rows if row[0] != digest]


def _secrets(session: SessionBase) -> dict[str, str]:
    return dict(session.get(SESSION_KEY, {}))


def _digest(secret: str) -> str:
    # The secret has 128 random bits, so no key is needed.
    return hashlib.sha256(b"phone_verify second factor\0" + secret.encode()).hexdigest()
